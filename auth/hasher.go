package auth

// Hasher does all work with passwords that takes a core and memory for some 30 ms, and so waits at a Gate. Its methods may
// be called from many goroutines at once, and fail only if the work is done elsewhere and that place is out of order.
type Hasher interface {
	// Verify says whether the hash is one of the password. If it is, but is not of the kind and cost that new ones have, and
	// rehash is set, it gives a new one, too.
	Verify(hash, password string, rehash bool) (good bool, rehashed string, err error)

	// Hash gives a hash of a new password, or "" for one that is easy to guess. What somebody would try first who knows the
	// user is in known.
	Hash(password string, known []string) (hash string, err error)
}

// LocalHasher hashes in this process, and never fails.
type LocalHasher struct{}

// Verify implements Hasher.
func (LocalHasher) Verify(hash, password string, rehash bool) (good bool, rehashed string, err error) {
	good = verifyPassword(hash, password)
	if good && rehash && replaceable(hash, password) {
		rehashed = hashPassword(password)
	}
	return good, rehashed, nil
}

// Hash implements Hasher.
func (LocalHasher) Hash(password string, known []string) (hash string, err error) {
	if guessable(password, known) {
		return "", nil
	}
	return hashPassword(password), nil
}
