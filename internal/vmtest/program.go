package vmtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programFiles returns the files of host programs, each at its own path, and of
// the loader and shared libraries that they need.
func programFiles(names []string) ([]File, error) {
	var files []File
	add := func(path string) {
		if !slices.ContainsFunc(files, func(f File) bool { return f.Guest == path }) {
			files = append(files, File{Host: path, Guest: path, Mode: 0o755})
		}
	}
	for _, name := range names {
		path, err := findProgram(name)
		if err != nil {
			return nil, err
		}
		add(path)
		switch err := CheckStatic(path); {
		case err == nil:
			continue
		case !errors.Is(err, ErrNotStatic):
			return nil, err
		}
		out, err := exec.Command("ldd", path).Output()
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %w", path, err)
		}
		libraries, err := parseLdd(string(out))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, l := range libraries {
			add(l)
		}
	}
	return files, nil
}

// findProgram looks in PATH, and where Debian puts root's programs, which may
// not be in the PATH of a user.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	if !strings.Contains(name, "/") {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			full := filepath.Join(dir, name)
			if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() {
				return full, nil
			}
		}
	}
	return "", err
}

// parseLdd returns the paths in the output of ldd(1).
func parseLdd(out string) ([]string, error) {
	var paths []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "not found") {
			return nil, errors.New(line)
		}
		path, _, _ := strings.Cut(line, " (0x")
		if _, target, ok := strings.Cut(path, " => "); ok {
			path = target
		}
		if strings.HasPrefix(path, "/") { // not linux-vdso.so.1, which is no file
			paths = append(paths, path)
		}
	}
	return paths, nil
}
