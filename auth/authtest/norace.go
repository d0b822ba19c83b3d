//go:build !race

package authtest

const underRace = false
