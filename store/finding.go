package store

// Finding is the result of one check of a set-up, for whoever operates it.
type Finding struct {
	ID      string // of the check, in lower case with hyphens
	Level   Level
	Message string // what was found, a sentence without secrets
	Cure    string // what to do about it, empty at [LevelOK]
}

// Level is how bad a [Finding] is.
type Level string

// The levels, the best first. LevelFail is what lets somebody in, loses data or stops the service.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn"
	LevelFail Level = "fail"
)
