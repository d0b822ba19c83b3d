package wire

import "clientes/store"

// Finding is a [store.Finding] as JSON.
type Finding struct {
	ID      string      `json:"id"`
	Level   store.Level `json:"level"`
	Message string      `json:"message"`
	Cure    string      `json:"cure"`
}

// Findings returns all findings as JSON, in their order.
func Findings(all []store.Finding) []Finding {
	views := make([]Finding, len(all))
	for i, f := range all {
		views[i] = Finding(f)
	}
	return views
}
