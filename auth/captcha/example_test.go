package captcha_test

import (
	"fmt"

	"clientes/auth/captcha"
)

// The number behind this challenge is 7.
func ExampleSolve() {
	const challenge = "000102030405060708090a0b0c0d0e0f." +
		"0eaac9ec1a48a4b735f7880cea4fe209da82e233e57fa1bcc30590cbe4c9e641" +
		".1000.1795349400.JdDCU6hM8bQ2ZqXk0qX0Jw"
	solution, err := captcha.Solve(challenge)
	fmt.Println(solution[len(challenge):], err)
	// Output: .7 <nil>
}
