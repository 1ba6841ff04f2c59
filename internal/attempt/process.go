package attempt

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func procPath(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// remember reads what attempts on a process must know of it; later, a policy
// might deny the reading.
func (d *doer) remember(pid int) error {
	status, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":\t")
		switch name {
		case "Name":
			d.comms[pid] = value
		case "Uid":
			uid, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				return err
			}
			d.uids[pid] = uid
		}
	}
	return nil
}

func (d *doer) target(pid int) (map[string]Value, error) {
	comm, ok := d.comms[pid]
	if !ok {
		return nil, errors.New("nothing is known of this process")
	}
	return map[string]Value{"target.uid": num(d.uids[pid]), "target.pid": num(pid), "target.comm": text(comm)}, nil
}

func (d *doer) signal(a Attempt, o *Outcome) error {
	f, err := d.target(a.Target)
	if err != nil {
		return err
	}
	// kernel/signal.c, kill_ok_by_cred
	if d.uids[a.Target] != d.facts.UID && d.uids[a.Target] != d.facts.EUID {
		d.asks(o, unix.CAP_KILL, unix.EPERM)
	}
	f["signal"] = num(a.Signal)
	o.saw("process.signal", f)
	return unix.Kill(a.Target, unix.Signal(a.Signal))
}

// ptraced is the event of an inspection; what capabilities it takes is not told
// (Attempt.Asks).
func (d *doer) ptraced(a Attempt, o *Outcome, mode int, refused unix.Errno) error {
	f, err := d.target(a.Target)
	if err != nil {
		return err
	}
	f["mode"] = num(mode)
	o.saw("process.ptrace", f).Errno = refused
	return nil
}

const (
	ptraceRead   = 1
	ptraceAttach = 2
)

// inspect reads a link of /proc (fs/proc/base.c, proc_pid_readlink).
func (d *doer) inspect(a Attempt, o *Outcome) error {
	if err := d.ptraced(a, o, ptraceRead, unix.EACCES); err != nil {
		return err
	}
	_, err := os.Readlink(procPath(a.Target, "exe"))
	return err
}

// peek reads memory (mm/process_vm_access.c makes every refusal EPERM). There is
// nothing at address 8.
func (d *doer) peek(a Attempt, o *Outcome) error {
	if err := d.ptraced(a, o, ptraceAttach, unix.EPERM); err != nil {
		return err
	}
	var b [1]byte
	_, err := unix.ProcessVMReadv(a.Target, []unix.Iovec{{Base: &b[0], Len: 1}}, []unix.RemoteIovec{{Base: 8, Len: 1}}, 0)
	return err
}

// attach traces and lets go again.
func (d *doer) attach(a Attempt, o *Outcome) error {
	if err := d.ptraced(a, o, ptraceAttach, 0); err != nil {
		return err
	}
	const seize, interrupt = 0x4206, 0x4207
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, seize, uintptr(a.Target), 0, 0, 0, 0); e != 0 {
		return e
	}
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, interrupt, uintptr(a.Target), 0, 0, 0, 0); e != 0 {
		return errors.New("interrupt: " + e.Error())
	}
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(a.Target, &ws, unix.WALL, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return errors.New("wait: " + err.Error())
		}
	}
	if err := unix.PtraceDetach(a.Target); err != nil {
		return errors.New("detach: " + err.Error())
	}
	return nil
}

func (d *doer) chroot(a Attempt, o *Outcome) error {
	d.asks(o, unix.CAP_SYS_CHROOT, unix.EPERM)
	return unix.Chroot("/")
}

func (d *doer) reboot(a Attempt, o *Outcome) error {
	d.asks(o, unix.CAP_SYS_BOOT, unix.EPERM)
	_, _, e := unix.Syscall6(unix.SYS_REBOOT, 0, 0, 0, 0, 0, 0) // wrong magic: EINVAL after the check
	return e
}

func (d *doer) hostname(a Attempt, o *Outcome) error {
	d.asks(o, unix.CAP_SYS_ADMIN, unix.EPERM)
	return unix.Sethostname([]byte("guest"))
}

// Asks tells whether the attempt asks for capabilities that its events do not tell.
func (a Attempt) Asks() bool {
	switch a.Op {
	case "inspect", "peek", "attach":
		return true
	case "signal": // kernel/signal.c: a refusal may be overruled for SIGCONT
		return unix.Signal(a.Signal) == unix.SIGCONT
	}
	return a.Layout == LayoutUnspec
}
