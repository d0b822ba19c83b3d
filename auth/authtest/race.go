//go:build race

package authtest

// underRace is set because the race detector of Go 1.26 crashes when a timer with a channel ends
// within a bubble of testing/synctest.
const underRace = true
