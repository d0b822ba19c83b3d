package auth

// Hasher does what takes a core and memory for some 30 ms: all work with passwords that waits at a Gate. Its methods have the
// form of net/rpc, so that another process can do it. They may be called from many goroutines at once.
type Hasher interface {
	// Check holds a password against a hash.
	Check(in Check, out *Checked) error

	// Hash gives the hash of a new password, or "" if it is easy to guess.
	Hash(in NewPassword, out *string) error
}

// Check is a password to be held against a hash.
type Check struct {
	Hash, Password string
	Renew          bool // another hash is wanted if this one is good, but not of today's kind
}

// Checked is what a Check has shown.
type Checked struct {
	Good    bool   // the hash is one of the password
	Renewed string // the other hash, or ""
}

// NewPassword is a password that somebody has chosen.
type NewPassword struct {
	Password string
	Known    []string // what somebody would try first who knows the user
}

// LocalHasher hashes in this process.
type LocalHasher struct{}

// Check implements Hasher and gives no error.
func (LocalHasher) Check(in Check, out *Checked) error {
	out.Good = verifyPassword(in.Hash, in.Password)
	if out.Good && in.Renew && replaceable(in.Hash, in.Password) {
		out.Renewed = hashPassword(in.Password)
	}
	return nil
}

// Hash implements Hasher and gives no error.
func (LocalHasher) Hash(in NewPassword, out *string) error {
	if !guessable(in.Password, in.Known) {
		*out = hashPassword(in.Password)
	}
	return nil
}
