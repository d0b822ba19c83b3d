// Package authtest has what tests of package auth share with tests of what is built upon it.
//
// It does not import auth, so that auth's own tests can use it.
package authtest

import (
	"strings"
	"sync"
)

// Hasher is auth.Hasher.
type Hasher interface {
	Verify(hash, password string, rehash bool) (good bool, rehashed string, err error)
	Hash(password string, known []string) (hash string, err error)
}

// Remember returns h with a memory: it answers what it was asked before without the work, which
// takes a core for 30 ms. It forgets nothing, and is safe for concurrent use. A test of the work
// itself, or of its time, uses h.
func Remember(h Hasher) Hasher {
	return &memory{h: h, answers: make(map[question]answer)}
}

type memory struct {
	h       Hasher
	mu      sync.Mutex
	answers map[question]answer
}

// question is the arguments of a call. Of Verify known is empty, of Hash it ends in a zero byte.
type question struct {
	hash, password string
	rehash         bool
	known          string
}

type answer struct {
	good bool
	hash string
}

func (m *memory) Verify(hash, password string, rehash bool) (bool, string, error) {
	a, err := m.ask(question{hash: hash, password: password, rehash: rehash}, func() (a answer, err error) {
		a.good, a.hash, err = m.h.Verify(hash, password, rehash)
		return a, err
	})
	return a.good, a.hash, err
}

func (m *memory) Hash(password string, known []string) (string, error) {
	a, err := m.ask(question{password: password, known: strings.Join(known, "\x00") + "\x00"}, func() (a answer, err error) {
		a.hash, err = m.h.Hash(password, known)
		return a, err
	})
	return a.hash, err
}

func (m *memory) ask(q question, work func() (answer, error)) (answer, error) {
	m.mu.Lock()
	a, ok := m.answers[q]
	m.mu.Unlock()
	if ok {
		return a, nil
	}
	a, err := work()
	if err == nil {
		m.mu.Lock()
		m.answers[q] = a
		m.mu.Unlock()
	}
	return a, err
}
