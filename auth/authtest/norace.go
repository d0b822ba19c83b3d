//go:build !race

package authtest

// UnderRace reports whether the race detector watches the tests.
const UnderRace = false
