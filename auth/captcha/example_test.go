package captcha_test

import (
	"fmt"

	"clientes/auth/captcha"
)

// The number behind this challenge is 7.
func ExampleSolve() {
	const challenge = "AAECAwQFBgcICQoLDA0ODw." +
		"c5424760ae97cd619c46714a6d9ee382c8ee0460c1f0d0aa2119e757b2f10187" +
		".1000.1795349400.JdDCU6hM8bQ2ZqXk0qX0Jw"
	solution, err := captcha.Solve(challenge)
	fmt.Println(solution[len(challenge):], err)
	// Output: .7 <nil>
}
