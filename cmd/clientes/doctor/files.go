package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"

	"clientes/store"
)

// files looks at who else can read or replace the files that hold secrets. Those that others can
// write are faults of the settings.
func files(_ context.Context, s Setup) []store.Finding {
	const id = "secret-files"
	var r report
	for _, warning := range s.Config.ExposedSecrets() {
		message, cure := parts(warning)
		r.fail(id, message, cure)
	}
	names := []string{".env"}
	for _, row := range s.Config.Rows() {
		if name, ok := strings.CutPrefix(row.From, "file "); ok {
			names = append(names, name)
		}
	}
	looked := 0
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		looked++
		if owner, other := foreignOwner(info); other {
			r.warn(id, fmt.Sprintf("%s belongs to the user %d, who can change it", name, owner),
				"give it to the user that runs the server, or to root: `chown`")
		}
	}
	if looked == 0 {
		r.okUnless(id, "there is no .env here, and no setting comes from a file")
	}
	r.okUnless(id, "other users of this machine can neither read nor change the files of the "+
		"settings")
	return r
}

// roomForTransfers is what two imports of the largest size take in temporary files.
const roomForTransfers = 2 * 256 * mib

// temporary looks at the folder for temporary files, which imports and exports need.
func temporary(context.Context, Setup) []store.Finding {
	const id = "temporary-files"
	var r report
	folder := os.TempDir()
	if err := writable(folder); err != nil {
		r.fail(id, fmt.Sprintf("no file can be made in %s, the folder for temporary files: "+
			"imports and exports will fail: %v", folder, err),
			"set TMPDIR to a folder with room that this user can write")
		return r
	}
	room, err := freeSpace(folder)
	switch {
	case err != nil:
		r.ok(id, "files can be made in %s", folder)
	case room < roomForTransfers:
		r.warn(id, fmt.Sprintf("%s, the folder for temporary files, has %d MiB left: imports "+
			"may have 256 MiB each", folder, room/mib),
			"make room there, or set TMPDIR to a folder with more")
	default:
		r.ok(id, "%s, the folder for temporary files, has %d MiB left", folder, room/mib)
	}
	return r
}
