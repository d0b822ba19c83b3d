//go:build race

package authtest

// UnderRace reports whether the race detector watches the tests. It changes what some can see.
// That of Go 1.26 crashes when a timer with a channel ends within a bubble of testing/synctest.
// And a [sync.Pool] drops at random what it is given, so allocations cannot be counted.
const UnderRace = true
