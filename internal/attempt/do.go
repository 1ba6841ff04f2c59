package attempt

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tiny is an x86-64 program that exits with 0 at once: an ELF header, one
// program header, and exit(0).
var tiny = func() []byte {
	const base = 0x400000
	b := make([]byte, 0x78+9)
	copy(b, "\x7fELF\x02\x01\x01")
	put := func(off int, v uint64, n int) {
		for i := range n {
			b[off+i] = byte(v >> (8 * i))
		}
	}
	put(0x10, 2, 2)         // executable
	put(0x12, 62, 2)        // x86-64
	put(0x14, 1, 4)         // version
	put(0x18, base+0x78, 8) // entry
	put(0x20, 0x40, 8)      // program headers
	put(0x34, 0x40, 2)      // size of this header
	put(0x36, 0x38, 2)      // size of a program header
	put(0x38, 1, 2)         // one of them
	put(0x40, 1, 4)         // PT_LOAD
	put(0x44, 5, 4)         // read, execute
	put(0x50, base, 8)      // virtual address
	put(0x58, base, 8)      // physical address
	put(0x60, uint64(len(b)), 8)
	put(0x68, uint64(len(b)), 8)
	put(0x70, 0x1000, 8)
	copy(b[0x78:], "\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05") // xor edi,edi; mov eax,60; syscall
	return b
}()

// Reset makes the tree below /t as Default describes it. It runs outside of
// any policy.
func Reset(u *Universe) error {
	for _, p := range u.Absent {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/t/w", 0o777); err != nil {
		return err
	}
	for _, d := range u.Dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	write := func(p string, data []byte, mode os.FileMode) error {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		st, err := os.Lstat(p)
		if err == nil && st.Mode() == mode && st.Size() == int64(len(data)) && st.Sys().(*syscall.Stat_t).Uid == 0 && st.Sys().(*syscall.Stat_t).Gid == 0 {
			return nil
		}
		if err := os.RemoveAll(p); err != nil {
			return err
		}
		if err := os.WriteFile(p, data, mode); err != nil {
			return err
		}
		return os.Chmod(p, mode)
	}
	for _, p := range u.Files {
		if err := write(p, []byte("content\n"), 0o644); err != nil {
			return err
		}
	}
	for i, p := range u.Programs {
		if err := write(p, tiny, []os.FileMode{0o755, 0o711}[i%2]); err != nil {
			return err
		}
	}
	return nil
}

// Do carries out an attempt. The calling goroutine must be locked to its thread.
func Do(a Attempt) (o Outcome) {
	do := doers[a.Op]
	if do == nil {
		return Outcome{Failed: "unknown operation " + a.Op}
	}
	err := do(a, &o)
	if err == nil {
		return o
	}
	if !errors.As(err, &o.Errno) {
		o.Failed = err.Error()
	}
	return o
}

func (o *Outcome) saw(op string, fields map[string]Value) {
	if fields == nil {
		fields = map[string]Value{}
	}
	o.Events = append(o.Events, Event{op, fields})
}

// inode are the fields of a file that exists.
func inode(path string, fields map[string]Value) (map[string]Value, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, err
	}
	fields["path"] = text(path)
	fields["owner"], fields["group"], fields["mode"] = num(st.Uid), num(st.Gid), num(st.Mode&0o7777)
	return fields, nil
}

// opened is the event of an open: file_open is asked once.
func opened(path string, flags int, exec bool) (map[string]Value, error) {
	var st unix.Stat_t
	f, err := inode(path, map[string]Value{})
	if err != nil {
		return nil, err
	}
	if err := unix.Stat(path, &st); err != nil {
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
	const largefile = 0o100000 // the kernel's O_LARGEFILE on x86-64, which every open of a 64-bit program gets
	f["access"], f["flags"], f["ino"] = num(access), num(flags|largefile), num(st.Ino)
	f["append"] = truth(flags&unix.O_APPEND != 0)
	f["deleted"], f["memfd"] = truth(false), truth(false)
	return f, nil
}

var doers = map[string]func(Attempt, *Outcome) error{
	"open": func(a Attempt, o *Outcome) error {
		f, err := opened(a.Path, a.Flags, false)
		if err != nil {
			return err
		}
		o.saw("file.open", f)
		if a.Flags&unix.O_TRUNC != 0 {
			o.saw("file.truncate", map[string]Value{"path": text(a.Path)})
		}
		fd, err := unix.Open(a.Path, a.Flags, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	},
	"exec": func(a Attempt, o *Outcome) error {
		f, err := opened(a.Path, unix.O_RDONLY|0x20, true) // 0x20: __FMODE_EXEC
		if err != nil {
			return err
		}
		o.saw("file.open", f)
		e, err := inode(a.Path, map[string]Value{"setid": truth(false), "memfd": truth(false)})
		if err != nil {
			return err
		}
		o.saw("exec", e)
		pid, err := syscall.ForkExec(a.Path, []string{"x"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Env: []string{}})
		if err == nil {
			var ws unix.WaitStatus
			for {
				if _, err = unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
					break
				}
			}
			if err == nil && ws.ExitStatus() != 0 {
				return errors.New("the program did not run")
			}
		}
		return err
	},
	"create": func(a Attempt, o *Outcome) error {
		o.saw("file.create", map[string]Value{"path": text(a.Path), "mode": num(a.Mode | unix.S_IFREG)})
		return unix.Mknod(a.Path, a.Mode|unix.S_IFREG, 0)
	},
	"mkdir": func(a Attempt, o *Outcome) error {
		o.saw("file.mkdir", map[string]Value{"path": text(a.Path), "mode": num(a.Mode)})
		return unix.Mkdir(a.Path, a.Mode)
	},
	"mknod": func(a Attempt, o *Outcome) error {
		o.saw("file.mknod", map[string]Value{"path": text(a.Path), "mode": num(a.Mode | unix.S_IFIFO)})
		return unix.Mknod(a.Path, a.Mode|unix.S_IFIFO, 0)
	},
	"symlink": func(a Attempt, o *Outcome) error {
		o.saw("file.symlink", map[string]Value{"path": text(a.Path), "target": text(a.To)})
		return unix.Symlink(a.To, a.Path)
	},
	"unlink": func(a Attempt, o *Outcome) error {
		o.saw("file.unlink", map[string]Value{"path": text(a.Path)})
		return unix.Unlink(a.Path)
	},
	"rmdir": func(a Attempt, o *Outcome) error {
		o.saw("file.rmdir", map[string]Value{"path": text(a.Path)})
		return unix.Rmdir(a.Path)
	},
	"rename": func(a Attempt, o *Outcome) error {
		o.saw("file.rename", map[string]Value{"path": text(a.Path), "to": text(a.To)})
		return unix.Rename(a.Path, a.To)
	},
	"exchange": func(a Attempt, o *Outcome) error {
		o.saw("file.rename", map[string]Value{"path": text(a.Path), "to": text(a.To), "rename_flags": num(unix.RENAME_EXCHANGE)})
		return unix.Renameat2(unix.AT_FDCWD, a.Path, unix.AT_FDCWD, a.To, unix.RENAME_EXCHANGE)
	},
	"link": func(a Attempt, o *Outcome) error {
		o.saw("file.link", map[string]Value{"path": text(a.Path), "to": text(a.To)})
		return unix.Link(a.Path, a.To)
	},
	"truncate": func(a Attempt, o *Outcome) error {
		o.saw("file.truncate", map[string]Value{"path": text(a.Path)})
		return unix.Truncate(a.Path, 3)
	},
	"chmod": func(a Attempt, o *Outcome) error {
		o.saw("file.chmod", map[string]Value{"path": text(a.Path), "mode": num(a.Mode)})
		return unix.Chmod(a.Path, a.Mode)
	},
	"chown": func(a Attempt, o *Outcome) error {
		o.saw("file.chown", map[string]Value{"path": text(a.Path), "new.uid": num(a.UID), "new.gid": num(a.GID)})
		return unix.Chown(a.Path, a.UID, a.GID)
	},
	"socket": func(a Attempt, o *Outcome) error {
		fd, err := socket(a, o)
		if err == nil {
			unix.Close(fd)
		}
		return err
	},
	"bind": func(a Attempt, o *Outcome) error {
		return withSocket(a, o, func(fd int, sa unix.Sockaddr, f map[string]Value) error {
			o.saw("net.bind", f)
			return unix.Bind(fd, sa)
		})
	},
	"connect": func(a Attempt, o *Outcome) error {
		return withSocket(a, o, func(fd int, sa unix.Sockaddr, f map[string]Value) error {
			o.saw("net.connect", f)
			return unix.Connect(fd, sa)
		})
	},
	"listen": func(a Attempt, o *Outcome) error {
		return withSocket(a, o, func(fd int, sa unix.Sockaddr, f map[string]Value) error {
			o.saw("net.bind", f)
			o.saw("net.listen", f)
			if err := unix.Bind(fd, sa); err != nil {
				return err
			}
			return unix.Listen(fd, 1)
		})
	},
	"signal": func(a Attempt, o *Outcome) error {
		f, err := task(a.Target)
		if err != nil {
			return err
		}
		f["signal"] = num(a.Signal)
		o.saw("process.signal", f)
		return unix.Kill(a.Target, unix.Signal(a.Signal))
	},
	"ptrace": func(a Attempt, o *Outcome) error {
		f, err := task(a.Target)
		if err != nil {
			return err
		}
		if a.Attach {
			f["mode"] = num(2)
			o.saw("process.ptrace", f)
			var b [1]byte
			local := []unix.Iovec{{Base: &b[0], Len: 1}}
			_, err := unix.ProcessVMReadv(a.Target, local, []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(nil)) + 8, Len: 1}}, 0)
			return err
		}
		f["mode"] = num(1)
		o.saw("process.ptrace", f)
		_, err = os.Readlink(procPath(a.Target, "exe"))
		return err
	},
	"chroot": func(a Attempt, o *Outcome) error {
		o.saw("capability", map[string]Value{"cap": num(unix.CAP_SYS_CHROOT)})
		return unix.Chroot("/")
	},
	"reboot": func(a Attempt, o *Outcome) error {
		o.saw("capability", map[string]Value{"cap": num(unix.CAP_SYS_BOOT)})
		_, _, e := unix.Syscall6(unix.SYS_REBOOT, 0, 0, 0, 0, 0, 0) // wrong magic: EINVAL after the check
		return e
	},
}

func socket(a Attempt, o *Outcome) (int, error) {
	o.saw("net.socket", map[string]Value{"family": num(a.Family), "type": num(a.Type), "protocol": num(a.Proto)})
	return unix.Socket(a.Family, a.Type|unix.SOCK_CLOEXEC, a.Proto)
}

func withSocket(a Attempt, o *Outcome, do func(int, unix.Sockaddr, map[string]Value) error) error {
	sa, ip, err := sockaddr(a)
	if err != nil {
		return err
	}
	fd, err := socket(a, o)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	proto := map[int]int{unix.SOCK_STREAM: unix.IPPROTO_TCP, unix.SOCK_DGRAM: unix.IPPROTO_UDP}[a.Type]
	addr := ip.String()
	return do(fd, sa, map[string]Value{"family": num(a.Family), "type": num(a.Type), "protocol": num(proto), "addr": {Addr: &addr}, "port": num(a.Port)})
}

func procPath(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// task are the target fields of a process. Its comm is read before the policy
// is asked; reading it opens a file, so that the caller passes pids whose comm
// Facts has remembered.
func task(pid int) (map[string]Value, error) {
	comm, ok := comms[pid]
	if !ok {
		return nil, errors.New("no facts of this process")
	}
	return map[string]Value{"target.uid": num(0), "target.pid": num(pid), "target.comm": text(comm)}, nil
}

var comms = map[int]string{}

// Remember reads what later attempts on a process of root need to know of it.
// Call it before the policy holds.
func Remember(pid int) error {
	b, err := os.ReadFile(procPath(pid, "comm"))
	if err != nil {
		return err
	}
	comms[pid] = strings.TrimSuffix(string(b), "\n")
	return nil
}
