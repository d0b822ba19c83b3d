package storetest

import (
	"os"
	"strconv"
	"testing"
)

// Rounds returns how often a test repeats what may go wrong by chance: TEST_ROUNDS of the
// environment, or few if it is not set.
func Rounds(tb testing.TB, few int) int {
	tb.Helper()
	text := os.Getenv("TEST_ROUNDS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("TEST_ROUNDS is %q, but has to be a number from 1", text)
	}
	return n
}
