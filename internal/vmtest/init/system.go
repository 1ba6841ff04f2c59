//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

func mount(src, dst, typ, data string) error {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(src, dst, typ, 0, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", typ, dst, err)
	}
	return nil
}

// mountAll mounts what a program expects of a running Linux system; /dev is
// there already.
func mountAll() error {
	for _, m := range []struct{ src, dst, typ, data string }{
		{"proc", "/proc", "proc", ""},
		{"sys", "/sys", "sysfs", ""},
		{"securityfs", "/sys/kernel/security", "securityfs", ""},
		{"tracefs", "/sys/kernel/tracing", "tracefs", ""},
		{"bpf", "/sys/fs/bpf", "bpf", "mode=700"},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", ""},
		{"devpts", "/dev/pts", "devpts", "mode=620,ptmxmode=666"},
		{"shm", "/dev/shm", "tmpfs", "mode=1777"},
		{"tmp", "/tmp", "tmpfs", "mode=1777"},
		{"run", "/run", "tmpfs", "mode=755"},
	} {
		if err := mount(m.src, m.dst, m.typ, m.data); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// writeEtc makes the files that name resolution and user look-up read, unless
// the initramfs brought its own. User 1000 is for tests of the unprivileged.
func writeEtc(hostname string) error {
	if hostname != "" {
		if err := syscall.Sethostname([]byte(hostname)); err != nil {
			return err
		}
	}
	for _, d := range []string{"/etc", "/root", "/var", "/home/user"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown("/home/user", 1000, 1000); err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{
		{"passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"},
		{"group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"},
		{"hosts", "127.0.0.1 localhost " + hostname + "\n::1 localhost\n"},
		{"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
	} {
		h, err := os.OpenFile("/etc/"+f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = h.WriteString(f.text)
		if err := errors.Join(err, h.Close()); err != nil {
			return err
		}
	}
	return nil
}

// loopbackUp sets IFF_UP on lo; the kernel then gives it 127.0.0.1 and ::1.
func loopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var req struct { // struct ifreq
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "lo")
	if err := ioctl(fd, syscall.SIOCGIFFLAGS, unsafe.Pointer(&req)); err != nil {
		return err
	}
	req.flags |= syscall.IFF_UP
	return ioctl(fd, syscall.SIOCSIFFLAGS, unsafe.Pointer(&req))
}

// loadModule loads the module at path, compressed (.ko.xz) or not. A module
// that is there already is no error.
func loadModule(path string) error {
	const (
		finitModule    = 313 // system call number on amd64
		compressedFile = 4   // MODULE_INIT_COMPRESSED_FILE, kernel 5.17
	)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var flags uintptr
	if strings.HasSuffix(path, ".xz") {
		flags = compressedFile
	}
	var params [1]byte
	_, _, e := syscall.Syscall(finitModule, f.Fd(), uintptr(unsafe.Pointer(&params)), flags)
	if e != 0 && e != syscall.EEXIST {
		return e
	}
	return nil
}

// moveRoot copies the initramfs to a tmpfs and makes that the root. It removes
// each file as soon as it is copied, so memory holds hardly more than one copy.
func moveRoot() error {
	const root = "/newroot"
	if err := mount("root", root, "tmpfs", "mode=755,size=90%"); err != nil {
		return err
	}
	err := filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == root || path == "/dev" {
			return fs.SkipDir
		}
		if path == "/" {
			return nil
		}
		return moveEntry(path, root+path)
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root+"/dev", 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("/dev", root+"/dev", "", syscall.MS_MOVE, ""); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return err
	}
	if err := syscall.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

func moveEntry(from, to string) error {
	var st syscall.Stat_t
	if err := syscall.Lstat(from, &st); err != nil {
		return err
	}
	perm := st.Mode & 0o7777
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		if err := syscall.Mkdir(to, perm); err != nil {
			return err
		}
		return syscall.Chmod(to, perm)
	case syscall.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case syscall.S_IFREG:
		if err := copyFile(from, to); err != nil {
			return err
		}
		if err := syscall.Chmod(to, perm); err != nil {
			return err
		}
		return os.Remove(from)
	default:
		return fmt.Errorf("%s: neither file, folder nor link", from)
	}
}

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
