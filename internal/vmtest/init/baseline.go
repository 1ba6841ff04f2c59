//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// volatile are the file systems that each payload gets fresh.
var volatile = []struct{ src, dst, typ, data string }{
	{"bpf", "/sys/fs/bpf", "bpf", "mode=700"},
	{"shm", "/dev/shm", "tmpfs", "mode=1777"},
	{"tmp", "/tmp", "tmpfs", "mode=1777"},
	{"run", "/run", "tmpfs", "mode=755"},
}

// baseline is the state of the system before the first payload.
type baseline struct {
	mounts []string
	links  []uint32
}

func takeBaseline() (*baseline, error) {
	m, err := mountPoints()
	if err != nil {
		return nil, err
	}
	l, err := bpfLinks()
	if err != nil {
		return nil, fmt.Errorf("BPF links: %w", err)
	}
	return &baseline{m, l}, nil
}

// restore removes what the last payload left behind; its processes are gone.
// The error names what would not go away.
func (b *baseline) restore() error {
	return errors.Join(os.Chdir("/"), b.restoreMounts(), removeCgroups("/sys/fs/cgroup"), b.awaitLinks())
}

func (b *baseline) restoreMounts() error {
	for _, v := range volatile {
		if err := unmountAll(v.dst); err != nil {
			return err
		}
		if err := mount(v.src, v.dst, v.typ, v.data); err != nil {
			return err
		}
	}
	now, err := mountPoints()
	if err != nil {
		return err
	}
	left := slices.Clone(b.mounts)
	var extra []string
	for _, m := range now {
		if i := slices.Index(left, m); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			extra = append(extra, m)
		}
	}
	for _, m := range slices.Backward(extra) {
		if err := syscall.Unmount(m, syscall.MNT_DETACH); err != nil && err != syscall.EINVAL {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("mounts removed by the payload: %s", strings.Join(left, " "))
	}
	return nil
}

// unmountAll unmounts whatever is stacked on a mount point, with the mounts
// below it.
func unmountAll(point string) error {
	for {
		err := syscall.Unmount(point, syscall.MNT_DETACH)
		if err == syscall.EINVAL { // no mount point any more
			return nil
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", point, err)
		}
	}
}

// mountPoints lists the mount points in the order of mounting.
func mountPoints() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 {
			points = append(points, unescape.Replace(f[4]))
		}
	}
	return points, nil
}

// removeCgroups removes all groups below root, deepest first.
func removeCgroups(root string) error {
	var groups []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root {
			groups = append(groups, path)
		}
		return err
	})
	for _, g := range slices.Backward(groups) {
		err = errors.Join(err, retry(5*time.Second, func() error { return syscall.Rmdir(g) }))
	}
	return err
}

// awaitLinks waits until all BPF links made since the baseline are gone. The
// kernel frees some of them a little after their last reference, but one that
// stays would decide over the programs of the next payload.
func (b *baseline) awaitLinks() error {
	return retry(5*time.Second, func() error {
		now, err := bpfLinks()
		if err != nil {
			return err
		}
		if n := len(now) - len(b.links); n > 0 {
			return fmt.Errorf("%d BPF links left behind", n)
		}
		return nil
	})
}

// bpfLinks lists the ids of all BPF links of the system.
func bpfLinks() ([]uint32, error) {
	const (
		sysBPF        = 321 // system call number on amd64
		linkGetNextID = 31  // BPF_LINK_GET_NEXT_ID, kernel 5.8
	)
	var ids []uint32
	attr := struct{ start, next, flags uint32 }{}
	for {
		_, _, e := syscall.Syscall(sysBPF, linkGetNextID, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		if e == syscall.ENOENT {
			return ids, nil
		}
		if e != 0 {
			return nil, e
		}
		ids = append(ids, attr.next)
		attr.start = attr.next
	}
}

// retry calls f until it succeeds, but no longer than d.
func retry(d time.Duration, f func() error) error {
	for deadline := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
