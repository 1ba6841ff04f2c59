package vmtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/snappy-policy/snappy/internal/vmtest/guest"
)

// writeInitramfs writes the initramfs of the run and settles the memory size.
func (m *machine) writeInitramfs(plan *guest.Plan, init string, modules []File) (err error) {
	data, err := plan.Marshal()
	if err != nil {
		return err
	}
	files := []File{
		{Host: init, Guest: "/init", Mode: 0o755},
		{Data: data, Guest: guest.PlanPath},
	}
	files = append(files, modules...)
	if m.cfg.Busybox {
		box, err := busyboxFiles()
		if err != nil {
			return err
		}
		files = append(files, box...)
	}
	programs, err := programFiles(m.cfg.Programs)
	if err != nil {
		return err
	}
	files = append(files, programs...)
	files = append(files, m.cfg.Files...)
	f, err := os.Create(m.initramfs())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zip, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(zip, 1<<20)
	archive := newCPIO(buf)
	for _, file := range files {
		if err := addFile(archive, file); err != nil {
			return fmt.Errorf("initramfs: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := errors.Join(buf.Flush(), zip.Close()); err != nil {
		return err
	}
	if m.cfg.Memory == 0 {
		m.cfg.Memory = memoryFor(archive.size)
	}
	return nil
}

// memoryFor returns the MiB that a guest with an initramfs of size bytes,
// unpacked, needs: the kernel holds the packed and the unpacked form at once,
// lets the latter take half of the memory, and the payloads want room too.
func memoryFor(size int64) int {
	return max(DefaultMemory, int(size>>20)*3+DefaultMemory/2)
}

// addFile adds one entry of Config.Files.
func addFile(c *cpioWriter, f File) error {
	perm := f.Mode
	if perm == 0 {
		perm = 0o644
	}
	switch {
	case f.Link != "":
		return c.Symlink(f.Guest, f.Link)
	case f.Host == "":
		return c.File(f.Guest, perm, bytes.NewReader(f.Data), int64(len(f.Data)))
	}
	info, err := os.Stat(f.Host)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return addHostFile(c, f.Host, f.Guest, f.Mode)
	}
	return filepath.WalkDir(f.Host, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(f.Host, name)
		if err != nil {
			return err
		}
		to := path.Join(f.Guest, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			info, err := d.Info()
			if err != nil {
				return err
			}
			return c.Dir(to, uint32(info.Mode().Perm()))
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return c.Symlink(to, target)
		default:
			return addHostFile(c, name, to, 0)
		}
	})
}

func addHostFile(c *cpioWriter, host, to string, mode uint32) error {
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is neither a file nor a folder", host)
	}
	if mode == 0 {
		mode = uint32(info.Mode().Perm())
	}
	return c.File(to, mode, f, info.Size())
}

// busyboxFiles returns the host's busybox and a link for each applet in it.
func busyboxFiles() ([]File, error) {
	box, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("busybox-static is not installed: %w", err)
	}
	if err := CheckStatic(box); err != nil {
		return nil, err
	}
	list, err := exec.Command(box, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("busybox --list: %w", err)
	}
	files := []File{{Host: box, Guest: "/bin/busybox", Mode: 0o755}}
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			files = append(files, File{Link: "busybox", Guest: "/bin/" + applet})
		}
	}
	return files, nil
}
