package attempt

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// doer carries out attempts: what an Agent knows of itself.
type doer struct {
	facts   Facts
	folders map[string]int
	comms   map[int]string // of processes to act on
	uids    map[int]int
}

// do carries out an attempt. The calling goroutine is locked to its thread.
func (d *doer) do(a Attempt) (o Outcome) {
	run := doers[a.Op]
	if run == nil {
		return Outcome{Failed: "unknown operation " + a.Op}
	}
	if a.Dir != "" {
		fd, ok := d.folders[a.Dir]
		if !ok {
			return Outcome{Failed: "unknown folder " + a.Dir}
		}
		if err := unix.Fchdir(fd); err != nil {
			return Outcome{Failed: "chdir to " + a.Dir + ": " + err.Error()}
		}
		defer unix.Chdir("/")
	}
	err := run(d, a, &o)
	if err != nil && !errors.As(err, &o.Errno) {
		o.Failed = err.Error()
	}
	return o
}

// saw adds an event, which the next system call must cause.
func (o *Outcome) saw(op string, fields map[string]Value) *Event {
	if fields == nil {
		fields = map[string]Value{}
	}
	o.Events = append(o.Events, Event{Op: op, Fields: fields})
	return &o.Events[len(o.Events)-1]
}

// asks adds the question for a capability, if the kernel gets as far as to ask
// our programs: it asks its own module first (security/security.c).
func (d *doer) asks(o *Outcome, cap int, refused unix.Errno) {
	if d.facts.Caps&(1<<cap) != 0 {
		o.saw("capability", map[string]Value{"cap": num(cap)}).Errno = refused
	}
}

// name is the path of a name, as d_path would give it. The last element is not
// followed unless the system call follows it.
func (d *doer) name(a Attempt, name string, follow bool) Value {
	switch a.Dir {
	case "":
	case DirDead: // d_path knows the name that it had
		return text(deadPath)
	default:
		return unresolved
	}
	if follow {
		if real, err := filepath.EvalSymlinks(name); err == nil {
			return text(real)
		}
		return text(filepath.Clean(name))
	}
	dir, base := filepath.Split(filepath.Clean(name))
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return text(filepath.Join(dir, base))
}

// absent reports the error that a name gives before any hook is asked: it does
// not exist, or a part of it is no folder.
func absent(name string) error {
	var st unix.Stat_t
	return unix.Lstat(name, &st)
}

// present reports the error that a name which is to be made gives before any
// hook is asked.
func present(name string) error {
	var st unix.Stat_t
	switch err := unix.Lstat(name, &st); {
	case err == nil:
		return unix.EEXIST
	case err != unix.ENOENT:
		return err
	}
	dir := filepath.Dir(name)
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	return nil
}

// mount is the mount that a name is on, of those of the universe.
func mount(name string) string {
	dir := filepath.Dir(name)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for _, m := range []string{bound, other} {
		if dir == m || strings.HasPrefix(dir, m+"/") {
			return m
		}
	}
	return "/t"
}

// opened is the event of an open.
func (d *doer) opened(a Attempt, flags int, exec bool) (map[string]Value, error) {
	var st unix.Stat_t
	if err := unix.Stat(a.Path, &st); err != nil {
		return nil, err
	}
	access := 0
	switch m := flags & unix.O_ACCMODE; {
	case exec:
		access = 8
	case m == unix.O_RDONLY:
		access = 1
	case m == unix.O_WRONLY:
		access = 2
	default:
		access = 3
	}
	if flags&unix.O_TRUNC != 0 {
		access |= 2
	}
	if flags&unix.O_APPEND != 0 && access&2 != 0 {
		access |= 4
	}
	// O_CLOEXEC is the descriptor's, not the file's (fs/open.c, build_open_flags).
	// The kernel's O_LARGEFILE on x86-64 is set in every open of a 64-bit program.
	const largefile = 0o100000
	f := map[string]Value{
		"path": d.name(a, a.Path, true), "owner": num(st.Uid), "group": num(st.Gid), "mode": num(st.Mode & 0o7777),
		"dev": num(st.Dev), "ino": num(st.Ino),
		"access": num(access), "flags": num(flags&^unix.O_CLOEXEC | largefile), "append": truth(flags&unix.O_APPEND != 0),
		"deleted": truth(a.Dir == DirDead), "memfd": truth(false),
	}
	return f, nil
}

var doers = map[string]func(*doer, Attempt, *Outcome) error{
	"open": (*doer).open, "exec": (*doer).exec, "memfd": (*doer).memfd,
	"create": func(d *doer, a Attempt, o *Outcome) error {
		return d.made(a, o, "file.create", num(a.Mode|unix.S_IFREG), func() error { return unix.Mknod(a.Path, a.Mode|unix.S_IFREG, 0) })
	},
	"mkdir": func(d *doer, a Attempt, o *Outcome) error {
		return d.made(a, o, "file.mkdir", num(a.Mode), func() error { return unix.Mkdir(a.Path, a.Mode) })
	},
	"mknod": func(d *doer, a Attempt, o *Outcome) error {
		return d.made(a, o, "file.mknod", num(a.Mode|unix.S_IFIFO), func() error { return unix.Mknod(a.Path, a.Mode|unix.S_IFIFO, 0) })
	},
	"symlink": func(d *doer, a Attempt, o *Outcome) error {
		if present(a.Path) == nil && a.To != "" {
			o.saw("file.symlink", map[string]Value{"path": d.name(a, a.Path, false), "target": text(a.To)})
		}
		return unix.Symlink(a.To, a.Path)
	},
	"creat": (*doer).creat,
	"unlink": func(d *doer, a Attempt, o *Outcome) error {
		return d.gone(a, o, "file.unlink", unix.Unlink)
	},
	"rmdir": func(d *doer, a Attempt, o *Outcome) error {
		return d.gone(a, o, "file.rmdir", unix.Rmdir)
	},
	"rename": func(d *doer, a Attempt, o *Outcome) error { return d.rename(a, o, 0) },
	"exchange": func(d *doer, a Attempt, o *Outcome) error {
		return d.rename(a, o, unix.RENAME_EXCHANGE)
	},
	"link": func(d *doer, a Attempt, o *Outcome) error {
		if absent(a.Path) == nil && present(a.To) == nil && mount(a.Path) == mount(a.To) {
			o.saw("file.link", map[string]Value{"path": d.name(a, a.Path, false), "to": d.name(a, a.To, false)})
		}
		return unix.Link(a.Path, a.To)
	},
	"truncate": func(d *doer, a Attempt, o *Outcome) error {
		return d.change(a, o, "file.truncate", nil, func() error { return unix.Truncate(a.Path, 3) })
	},
	"chmod": func(d *doer, a Attempt, o *Outcome) error {
		return d.change(a, o, "file.chmod", map[string]Value{"mode": num(a.Mode)}, func() error { return unix.Chmod(a.Path, a.Mode) })
	},
	"chown":  (*doer).chown,
	"socket": (*doer).socketOnly, "bind": (*doer).bind, "bindpath": (*doer).bindPath, "connect": (*doer).connect, "listen": (*doer).listen,
	"signal": (*doer).signal, "inspect": (*doer).inspect, "peek": (*doer).peek, "attach": (*doer).attach,
	"chroot": (*doer).chroot, "reboot": (*doer).reboot, "hostname": (*doer).hostname,
}

func (d *doer) open(a Attempt, o *Outcome) error {
	f, err := d.opened(a, a.Flags, false)
	if err != nil {
		return err
	}
	o.saw("file.open", f)
	if a.Flags&unix.O_TRUNC != 0 {
		o.saw("file.truncate", map[string]Value{"path": f["path"]})
	}
	fd, err := unix.Open(a.Path, a.Flags, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// creat makes a file by open(2): path_mknod is asked, and file_open for the new file.
func (d *doer) creat(a Attempt, o *Outcome) error {
	const flags = unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC | unix.O_EXCL
	if present(a.Path) != nil {
		fd, err := unix.Open(a.Path, flags, a.Mode)
		if err == nil {
			unix.Close(fd)
			return errors.New("the file was there")
		}
		return err
	}
	o.saw("file.create", map[string]Value{"path": d.name(a, a.Path, false), "mode": num(a.Mode | unix.S_IFREG)})
	fd, err := unix.Open(a.Path, flags, a.Mode)
	if f, err := d.opened(a, flags, false); err == nil {
		o.saw("file.open", f)
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// made is the making of a name.
func (d *doer) made(a Attempt, o *Outcome, op string, mode Value, call func() error) error {
	if present(a.Path) == nil {
		o.saw(op, map[string]Value{"path": d.name(a, a.Path, false), "mode": mode})
	}
	return call()
}

// gone is the removal of a name.
func (d *doer) gone(a Attempt, o *Outcome, op string, call func(string) error) error {
	if absent(a.Path) == nil {
		o.saw(op, map[string]Value{"path": d.name(a, a.Path, false)})
	}
	return call(a.Path)
}

// change is a change of what a name stands for.
func (d *doer) change(a Attempt, o *Outcome, op string, fields map[string]Value, call func() error) error {
	var st unix.Stat_t
	if err := unix.Stat(a.Path, &st); err != nil {
		return err
	}
	if fields == nil {
		fields = map[string]Value{}
	}
	fields["path"] = d.name(a, a.Path, true)
	o.saw(op, fields)
	if op == "file.chmod" && int(st.Uid) != d.facts.EUID {
		d.asks(o, unix.CAP_FOWNER, unix.EPERM)
	}
	return call()
}

func (d *doer) rename(a Attempt, o *Outcome, flags uint) error {
	found := absent(a.To)
	if flags == 0 && errors.Is(found, unix.ENOENT) {
		found = present(a.To)
	}
	if absent(a.Path) == nil && found == nil && mount(a.Path) == mount(a.To) {
		e := o.saw("file.rename", map[string]Value{"path": d.name(a, a.Path, false), "to": d.name(a, a.To, false), "rename_flags": num(int64(flags))})
		e.Exchange = flags == unix.RENAME_EXCHANGE
	}
	return unix.Renameat2(unix.AT_FDCWD, a.Path, unix.AT_FDCWD, a.To, flags)
}

func (d *doer) chown(a Attempt, o *Outcome) error {
	var st unix.Stat_t
	if err := unix.Stat(a.Path, &st); err != nil {
		return err
	}
	o.saw("file.chown", map[string]Value{"path": d.name(a, a.Path, true), "new.uid": num(uint32(a.UID)), "new.gid": num(uint32(a.GID))})
	// fs/attr.c, chown_ok and chgrp_ok: what changes nothing, or hands a file of
	// one's own to a group of one's own, needs no capability.
	own := int(st.Uid) == d.facts.EUID
	if !own || a.UID != int(st.Uid) {
		if d.facts.Caps&(1<<unix.CAP_CHOWN) == 0 {
			return unix.Chown(a.Path, a.UID, a.GID)
		}
		d.asks(o, unix.CAP_CHOWN, unix.EPERM)
	}
	if !own || a.GID != int(st.Gid) && !slices.Contains(d.facts.Groups, a.GID) {
		d.asks(o, unix.CAP_CHOWN, unix.EPERM)
	}
	return unix.Chown(a.Path, a.UID, a.GID)
}

// program is the event of an execution.
func (d *doer) program(a Attempt) (map[string]Value, error) {
	var st unix.Stat_t
	if err := unix.Stat(a.Path, &st); err != nil {
		return nil, err
	}
	return map[string]Value{
		"path": d.name(a, a.Path, true), "owner": num(st.Uid), "mode": num(st.Mode & 0o7777),
		"setid": truth(st.Mode&unix.S_ISUID != 0), "memfd": truth(false),
	}, nil
}

// execFlag is __FMODE_EXEC, which f_flags of a program's file have.
const execFlag = 0x20

func (d *doer) exec(a Attempt, o *Outcome) error {
	opened, err := d.opened(a, unix.O_RDONLY|execFlag, true)
	if err != nil {
		return err
	}
	o.saw("file.open", opened).InChild = true
	f, err := d.program(a)
	if err != nil {
		return err
	}
	o.saw("exec", f).InChild = true
	return o.run(a.Path)
}

// run executes a program of the universe in a child and waits for it.
func (o *Outcome) run(path string) error {
	pid, err := syscall.ForkExec(path, []string{"x"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Env: []string{}})
	if err != nil {
		return err
	}
	o.Child = pid
	var ws unix.WaitStatus
	for {
		if _, err = unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	if o.ChildKilled = ws.Signaled() && ws.Signal() == unix.SIGKILL; o.ChildKilled {
		return nil
	}
	if err == nil && ws.ExitStatus() != 0 {
		return errors.New("the program did not run")
	}
	return err
}

// memfd opens an unnamed file once more, by its descriptor's name in /proc.
func (d *doer) memfd(a Attempt, o *Outcome) error {
	fd, err := unix.MemfdCreate("unnamed", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	a.Path = fdPath(fd)
	f, err := d.opened(a, a.Flags, false)
	if err != nil {
		return err
	}
	f["path"], f["memfd"] = text(""), truth(true)
	o.saw("file.open", f)
	again, err := unix.Open(a.Path, a.Flags, 0)
	if err == nil {
		unix.Close(again)
	}
	return err
}
