package store

import (
	"errors"
	"fmt"
	"time"
)

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

// BackupAge is the age from which a [Finding] names the last backup as too old: that of every night
// is there, and one night may fail.
const BackupAge = 48 * time.Hour

// FindingOf returns the finding of an error that a store could not be opened or used with.
func FindingOf(id string, err error) Finding {
	f := Finding{ID: id, Level: LevelFail, Message: err.Error(),
		Cure: "look into the log of the database, and at the network and the disk"}
	var (
		place  *PlaceError
		engine *EngineError
		newer  *NewerSchemaError
	)
	switch {
	case errors.As(err, &place):
		f.Message, f.Cure = place.Fault, place.Cure
	case errors.As(err, &engine):
		f.Message, f.Cure = fmt.Sprintf("%s (%s)", engine.What, engine.Detail), engine.Cure
	case errors.As(err, &newer):
		f.Message, f.Cure = newer.Error(), "run a version of clientes that knows it"
	}
	return f
}

// FindingUnseen returns the finding of a check that could not be made.
func FindingUnseen(id string, err error) Finding {
	f := FindingOf(id, err)
	f.Level, f.Message = LevelWarn, "this could not be looked at: "+f.Message
	return f
}

// Finding returns what an operator should know of the schema. Copying is true if a copy into the
// database was begun and is not finished.
func (s Schema) Finding(id string, copying bool) Finding {
	if err := s.CheckRequired(); err != nil {
		return FindingOf(id, err)
	}
	missing, newer, applied := []string(nil), 0, 0
	for _, m := range s.Migrations {
		switch {
		case !m.Applied:
			missing = append(missing, m.Name)
		case m.Name == "":
			newer++
		default:
			applied++
		}
	}
	const cure = "run `clientes migrate`; `clientes serve` does so at its start, too"
	switch {
	case applied == 0:
		return Finding{id, LevelWarn, "there are no tables of clientes in the database yet", cure}
	case copying:
		return Finding{id, LevelFail, "a copy into the database was begun and is not finished",
			"give the same `clientes copy` again and it goes on, or drop the database"}
	case len(missing) > 0:
		return Finding{id, LevelWarn, "the database lacks the migrations " + someOf(missing), cure}
	case newer > 0:
		return Finding{ID: id, Level: LevelOK, Message: fmt.Sprintf("the schema has all %d "+
			"migrations, and %d of a newer clientes beside which this one may run", applied, newer)}
	}
	return Finding{ID: id, Level: LevelOK,
		Message: fmt.Sprintf("the schema has all %d migrations", applied)}
}
