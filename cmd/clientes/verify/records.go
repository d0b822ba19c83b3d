package verify

func recordChecks() []check { return nil }
