package sqlite

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"clientes/store"
)

// A write-ahead log needs memory that all processes share and locks that count. Files that come
// over a network have neither: https://www.sqlite.org/wal.html. So it is with those of the host
// that a virtual machine sees.
var networkFileSystems = map[string]bool{
	"nfs": true, "nfs4": true, "cifs": true, "smb3": true, "smbfs": true, "ncpfs": true,
	"afs": true, "9p": true, "vboxsf": true, "prl_fs": true, "fuse.vmhgfs-fuse": true, "ceph": true,
	"lustre": true, "beegfs": true, "gpfs": true, "coda": true, "fuse.sshfs": true,
	"fuse.s3fs": true, "fuse.rclone": true, "fuse.gcsfuse": true, "fuse.goofys": true,
	"fuse.glusterfs": true, "fuse.ceph": true, "fuse.ceph-fuse": true, "fuse.davfs": true,
	"fuse.curlftpfs": true, "fuse.juicefs": true, "fuse.mount-s3": true, "fuse.blobfuse2": true,
	"fuse.google-drive-ocamlfuse": true, "fuse.onedrive": true, "davfs": true, "fuse.nfs": true,
}

// Below these amounts a disk is nearly full.
const (
	littleRoom = 1 << 30
	ampleRoom  = 10 << 30 // more than that is enough, whatever part of the disk it is
	fewInodes  = 1000
)

// examineDisk looks at the file system on which a database is, or is to be made.
func examineDisk(path string) []store.Finding {
	folder := filepath.Dir(path)
	return []store.Finding{examineFileSystem(folder), examineRoom(path, folder)}
}

func examineFileSystem(folder string) store.Finding {
	const id = "database-network"
	kind := fileSystemOf(folder)
	switch {
	case networkFileSystems[kind]:
		return failure(id, "name a file on a disk of this machine in DATABASE_URL, or use Postgres",
			"the file system of %s (%s) comes over a network, where a database gets damaged",
			folder,
			kind)
	case strings.HasPrefix(kind, "fuse.") || kind == "fuse" || kind == "virtiofs":
		return warning(id, "name a file on a disk of this machine in DATABASE_URL, or use "+
			"Postgres; a volume of the container's engine is one",
			"the file system of %s (%s) belongs to a program, which may not keep locks and "+
				"writes as a disk does", folder, kind)
	case kind == "tmpfs" || kind == "ramfs":
		return failure(id, "name a file on a disk of this machine in DATABASE_URL",
			"the file system of %s (%s) is in memory, and lost when the machine stops", folder,
			kind)
	case kind == "":
		return okay(id, "of which kind the file system of %s is cannot be seen", folder)
	}
	return okay(id, "the file system of %s is on this machine (%s)", folder, kind)
}

// fileSystemOf returns the type of the file system of a folder as the kernel names it, or "".
func fileSystemOf(folder string) string {
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err != nil {
		return ""
	}
	device := fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	mounts, err := os.Open("/proc/self/mountinfo") // see proc_pid_mountinfo(5)
	if err != nil {
		return ""
	}
	defer mounts.Close()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		before, after, _ := strings.Cut(lines.Text(), " - ")
		if kind := strings.Fields(after); before != "" && len(fields) > 2 && fields[2] == device &&
			len(kind) > 0 {
			return kind[0]
		}
	}
	return ""
}

func examineRoom(path, folder string) store.Finding {
	const id = "database-space"
	var disk unix.Statfs_t
	if err := unix.Statfs(folder, &disk); err != nil {
		return store.FindingUnseen(id, fileError(err))
	}
	unit := uint64(disk.Bsize)
	free, total := disk.Bavail*unit, disk.Blocks*unit
	const cure = "make room on it (`du -x` finds what takes it), or move the database to a " +
		"larger one"
	switch {
	case free < room*2:
		return findingOf(id, explain(path, "", fileError(syscall.ENOSPC)))
	case disk.Files > 0 && disk.Ffree == 0:
		return failure(id, "delete files there (`df -i` shows it)",
			"the disk of %s takes no more files", folder)
	case free < littleRoom, free < total/10 && free < ampleRoom:
		return warning(id, cure, "the disk of %s has %s left of %s", folder, sizeText(int64(free)),
			sizeText(int64(total)))
	case disk.Files > 0 && disk.Ffree < fewInodes:
		return warning(id, "delete files there (`df -i` shows it)",
			"the disk of %s takes only %d more files", folder, disk.Ffree)
	}
	return okay(id, "the disk of %s has %s left", folder, sizeText(int64(free)))
}
