package store

import "time"

// Change is one step in the history of a customer record.
type Change struct {
	// Version is the version that the change led to. A delete counts up, too.
	Version int64
	Action  Action
	UserID  int64  // who did it; 0: the command line
	User    string // the name that the user had then, "" for the command line
	At      time.Time
	Record  Cliente // as it stood after the change; for a delete, before it
	Erased  bool    // the texts of Record are gone: see [Erasing]
}

// Action is what a change did.
type Action string

// What can be done to a record.
const (
	Created  Action = "created"
	Updated  Action = "updated"
	Deleted  Action = "deleted"
	Restored Action = "restored" // the text of an earlier version, and the record if it was deleted
	Erased   Action = "erased"   // the record is gone, and so is the text of all its changes
)
