//go:build race

package authtest

// UnderRace reports whether the race detector watches the tests, which some cannot bear. The
// detector of Go 1.26 crashes when a timer with a channel ends within a bubble of testing/synctest.
// It also has [sync.Pool] drop objects at random, so allocations cannot be counted.
const UnderRace = true
