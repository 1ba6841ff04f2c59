package attempt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Universe is what random attempts choose from. Build and Reset make it.
type Universe struct {
	Files    []string // exist, regular
	Dirs     []string // exist, empty
	Absent   []string // do not exist; their folders do
	Programs []string // exist, executable
	Links    []string // symbolic links and odd spellings of files
	Missing  []string // do not exist, nor their folders
	Victim   int      // pid of a process that survives the signals of Random
}

// Folders of the universe that are mounts.
const (
	bound = "/t/m" // /t/d, once more
	other = "/t/s" // a filesystem of its own
)

// foreign belongs to somebody else.
const foreign, foreignUID = "/t/b", 33

// setuid has the set-user-ID bit.
const setuid = "/t/bin/s"

// Default is the universe that policies of internal/progen speak of.
func Default(victim int) *Universe {
	return &Universe{
		Files:    []string{"/t/a", foreign, "/t/d/a", "/t/d/b.conf", "/t/d/e/f", "/t/d/e/secret", "/t/with space", "/t/ümlaut", other + "/a"},
		Dirs:     []string{"/t/w/empty", "/t/d/e/dir"},
		Absent:   []string{"/t/w/x", "/t/w/y", "/t/c", "/t/d/new.conf", other + "/x"},
		Programs: []string{"/t/bin/a", "/t/bin/b", setuid},
		Links:    []string{"/t/link", "/t/dlink/a", "/t/d/../a", "/t//d/./a", bound + "/a", bound + "/e/secret"},
		Missing:  []string{"/t/none/x", "/t/a/x"},
		Victim:   victim,
	}
}

// Build makes a filesystem at /t, and what Reset does not: folders, mounts,
// links. It runs once, as root.
func (u *Universe) Build() error {
	if err := os.MkdirAll("/t", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("universe", "/t", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, d := range []string{"/t/bin", "/t/d/e", "/t/w", bound, other, detachedAt} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		unix.Mount("/t/d", bound, "", unix.MS_BIND, ""),
		unix.Mount("universe", other, "tmpfs", 0, "mode=755"),
		os.Symlink("d", "/t/dlink"),
		buildDeep(),
		u.Reset())
}

// Reset puts everything back to where it was. It runs outside of any policy.
func (u *Universe) Reset() error {
	for _, p := range u.Absent {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	for _, d := range u.Dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for _, p := range u.Files {
		owner := 0
		mode := uint32(0o644)
		if p == foreign {
			owner, mode = foreignUID, 0o666
		}
		if err := restore(p, []byte("content\n"), mode, owner); err != nil {
			return err
		}
	}
	for _, p := range u.Programs {
		mode := uint32(0o755)
		switch p {
		case setuid:
			mode = 0o4755
		case "/t/bin/b":
			mode = 0o711
		}
		if err := restore(p, tiny, mode, 0); err != nil {
			return err
		}
	}
	if to, err := os.Readlink("/t/link"); err != nil || to != "/t/d/a" {
		if err := errors.Join(os.RemoveAll("/t/link"), os.Symlink("/t/d/a", "/t/link")); err != nil {
			return err
		}
	}
	return resetDeep()
}

// restore makes a file anew unless it is as it should be.
func restore(path string, data []byte, mode uint32, owner int) error {
	var st unix.Stat_t
	if unix.Lstat(path, &st) == nil && st.Mode == mode|unix.S_IFREG && st.Uid == uint32(owner) && st.Gid == 0 && st.Nlink == 1 && st.Size == int64(len(data)) {
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
			return nil
		}
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return err
	}
	return errors.Join(unix.Chown(path, owner, 0), unix.Chmod(path, mode))
}

// The deep folder: names of 255 bytes below each other until their path is too
// long. It can only be reached step by step.
const (
	deepRoot  = "/t/deep"
	deepSteps = 17
)

var deepName = strings.Repeat("n", 255)

// inDeep runs f in the deep folder; the working directory is / then.
func inDeep(f func() error) error {
	if err := os.Chdir(deepRoot); err != nil {
		return err
	}
	defer os.Chdir("/")
	for range deepSteps {
		if err := unix.Chdir(deepName); err != nil {
			return err
		}
	}
	return f()
}

func buildDeep() error {
	if err := os.Mkdir(deepRoot, 0o755); err != nil {
		return err
	}
	if err := os.Chdir(deepRoot); err != nil {
		return err
	}
	defer os.Chdir("/")
	for range deepSteps {
		if err := errors.Join(unix.Mkdir(deepName, 0o755), unix.Chdir(deepName)); err != nil {
			return err
		}
	}
	return nil
}

func resetDeep() error {
	return inDeep(func() error {
		for _, p := range []string{"x", "y"} {
			if err := unix.Unlink(p); err != nil && err != unix.ENOENT {
				if err := unix.Rmdir(p); err != nil {
					return err
				}
			}
		}
		fd, err := unix.Open("f", unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fchown(fd, 0, 0), unix.Fchmod(fd, 0o644), unix.Close(fd))
	})
}

// detachedAt is where Agents mount what they unmount at once.
const detachedAt = "/t/detached"

// folders opens the folders without paths, by their names.
func folders() (map[string]int, error) {
	fds := map[string]int{}
	open := func(name, path string) error {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		fds[name] = fd
		return err
	}
	if err := inDeep(func() error { return open(DirDeep, ".") }); err != nil {
		return nil, fmt.Errorf("deep folder: %w", err)
	}
	if err := errors.Join(unix.Mkdir(deadPath, 0o755), open(DirDead, deadPath), unix.Rmdir(deadPath)); err != nil {
		return nil, fmt.Errorf("dead folder: %w", err)
	}
	if err := unix.Mount("detached", detachedAt, "tmpfs", 0, "mode=755"); err != nil {
		return nil, err
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(detachedAt, "f"), []byte("content\n"), 0o644),
		open(DirDetached, detachedAt),
		unix.Unmount(detachedAt, unix.MNT_DETACH))
	if err != nil {
		return nil, fmt.Errorf("detached folder: %w", err)
	}
	fd, err := elsewhere()
	if err != nil {
		return nil, fmt.Errorf("folder of another mount namespace: %w", err)
	}
	fds[DirElsewhere] = fd
	return fds, nil
}

// elsewhere opens /t/d in a mount namespace of a thread of its own, which stays,
// so that the namespace does.
func elsewhere() (fd int, err error) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if err = unix.Unshare(unix.CLONE_NEWNS); err == nil {
			fd, err = unix.Open("/t/d", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		close(done)
		select {}
	}()
	<-done
	return fd, err
}

// deadPath is the name that the dead folder of an agent had: the same for each,
// so that one who takes the place of another sees the same. They start one after the other.
const deadPath = "/t/dead"

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
