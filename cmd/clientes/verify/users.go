package verify

func userChecks() []check { return nil }
