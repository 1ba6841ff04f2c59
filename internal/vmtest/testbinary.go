package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// KernelTests matches the names of the files that hold kernel tests. They carry
// the build tag "kernel" as well, so that a plain `go test` never runs them.
const KernelTests = "*_kernel_test.go"

// TestBinary is a compiled Go test to run in the guest.
type TestBinary struct {
	Binary string // host path; must be static
	Source string // host folder of the package; its testdata goes along
	// Guest is the guest's working directory, different for each test of a
	// run; GuestDir makes it.
	Guest string
}

// GuestDir is the guest's working directory for the tests of a package: its
// place in the module, below /src. Relative paths between packages so mean the
// same as on the host.
func GuestDir(source string) (string, error) {
	abs, err := filepath.Abs(source)
	if err != nil {
		return "", err
	}
	for root := abs; ; root = filepath.Dir(root) {
		switch _, err := os.Stat(filepath.Join(root, "go.mod")); {
		case err == nil:
			rel, err := filepath.Rel(root, abs)
			return path.Join("/src", filepath.ToSlash(rel)), err
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		case root == filepath.Dir(root):
			return "/src", nil
		}
	}
}

// Program is the guest path of the test program.
func (t TestBinary) Program() string {
	return path.Join("/rig/test", t.Guest, filepath.Base(t.Binary))
}

// Needs are the wishes of a package's kernel tests, written as directives in
// the files that match KernelTests:
//
//	//vmtest:file HOST GUEST     copy a file or folder
//	//vmtest:build PKG GUEST     build a program, statically, and copy it
//	//vmtest:program NAME        copy a program of the host with its libraries
//	//vmtest:module NAME         load a kernel module
//	//vmtest:busybox             have busybox in /bin
//	//vmtest:tmpfs-root          have a root from which pivot_root works
//	//vmtest:timeout DURATION    allow the package so much guest time
//
// HOST and PKG are relative to the package's folder, as is GUEST unless it is
// absolute. The machine is shared with other packages, so all of them see what
// one wishes for.
type Needs struct {
	Copies    []Copy
	Builds    []Copy
	Programs  []string
	Modules   []string
	Busybox   bool
	TmpfsRoot bool
	Timeout   time.Duration // zero if not given
}

// Copy is something of the host, and where the guest wants it.
type Copy struct{ From, To string }

// ReadNeeds reads the directives of the package in dir.
func ReadNeeds(dir string) (Needs, error) {
	var n Needs
	files, err := filepath.Glob(filepath.Join(dir, KernelTests))
	if err != nil {
		return n, err
	}
	slices.Sort(files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return n, err
		}
		line := 0
		for text := range strings.Lines(string(data)) {
			line++
			directive, ok := strings.CutPrefix(text, "//vmtest:")
			if !ok {
				continue
			}
			if err := n.add(strings.Fields(directive)); err != nil {
				return n, fmt.Errorf("%s:%d: //vmtest:%s: %w", file, line, strings.TrimSpace(directive), err)
			}
		}
	}
	return n, nil
}

func (n *Needs) add(f []string) error {
	if len(f) == 0 {
		return errors.New("empty directive")
	}
	arguments := map[string]int{"file": 2, "build": 2, "program": 1, "module": 1, "busybox": 0, "tmpfs-root": 0, "timeout": 1}
	want, ok := arguments[f[0]]
	if !ok {
		return errors.New("unknown directive")
	}
	if len(f)-1 != want {
		return fmt.Errorf("%d arguments, want %d", len(f)-1, want)
	}
	switch f[0] {
	case "file":
		n.Copies = append(n.Copies, Copy{f[1], f[2]})
	case "build":
		n.Builds = append(n.Builds, Copy{f[1], f[2]})
	case "program":
		n.Programs = append(n.Programs, f[1])
	case "module":
		n.Modules = append(n.Modules, f[1])
	case "busybox":
		n.Busybox = true
	case "tmpfs-root":
		n.TmpfsRoot = true
	case "timeout":
		d, err := time.ParseDuration(f[1])
		if err != nil || d <= 0 {
			return errors.New("no positive duration")
		}
		n.Timeout = d
	}
	return nil
}

// AddTest adds to the configuration what the test binary needs in the guest:
// the program, its package's testdata and Needs, which it returns too. What
// those want built is built into the host folder build.
func (cfg *Config) AddTest(ctx context.Context, t TestBinary, build string) (Needs, error) {
	needs, err := ReadNeeds(t.Source)
	if err != nil {
		return needs, err
	}
	if err := CheckStatic(t.Binary); err != nil {
		return needs, err
	}
	cfg.addFile(File{Host: t.Binary, Guest: t.Program(), Mode: 0o755})
	data := filepath.Join(t.Source, "testdata")
	switch info, err := os.Stat(data); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return needs, err
	case !info.IsDir():
		return needs, fmt.Errorf("%s is not a folder", data)
	default:
		cfg.addFile(File{Host: data, Guest: path.Join(t.Guest, "testdata")})
	}
	at := func(to string) string {
		if path.IsAbs(to) {
			return path.Clean(to)
		}
		return path.Join(t.Guest, to)
	}
	for _, c := range needs.Copies {
		from := filepath.FromSlash(c.From)
		if !filepath.IsAbs(from) {
			from = filepath.Join(t.Source, from)
		}
		if _, err := os.Stat(from); err != nil {
			return needs, fmt.Errorf("//vmtest:file: %w", err)
		}
		cfg.addFile(File{Host: from, Guest: at(c.To)})
	}
	for _, b := range needs.Builds {
		out, err := buildStatic(ctx, t.Source, b.From, build)
		if err != nil {
			return needs, err
		}
		cfg.addFile(File{Host: out, Guest: at(b.To), Mode: 0o755})
	}
	cfg.Modules = union(cfg.Modules, needs.Modules)
	cfg.Programs = union(cfg.Programs, needs.Programs)
	cfg.Busybox = cfg.Busybox || needs.Busybox
	cfg.TmpfsRoot = cfg.TmpfsRoot || needs.TmpfsRoot
	return needs, nil
}

// union appends what is new in more.
func union(list, more []string) []string {
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// addFile adds a file unless it is there already, as when two packages wish for
// the same one. Different files for one guest path are found later.
func (cfg *Config) addFile(f File) {
	f.Host = absolute(f.Host)
	if !slices.ContainsFunc(cfg.Files, func(o File) bool { return o.Host == f.Host && o.Guest == f.Guest }) {
		cfg.Files = append(cfg.Files, f)
	}
}

func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// buildStatic builds the main package pkg, seen from dir, and returns the path
// of the program in out: the same for the same package.
func buildStatic(ctx context.Context, dir, pkg, out string) (string, error) {
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "PWD="+absolute(dir))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		stdout, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.String())
		}
		return strings.TrimSpace(string(stdout)), nil
	}
	name, err := run("list", "-f", "{{.Name}} {{.ImportPath}}", pkg)
	if err != nil {
		return "", err
	}
	kind, importPath, _ := strings.Cut(name, " ")
	if kind != "main" || strings.ContainsAny(importPath, " \n") {
		return "", fmt.Errorf("%s is not one main package", pkg)
	}
	program := filepath.Join(out, strings.ReplaceAll(importPath, "/", "_"))
	_, err = run("build", "-trimpath", "-ldflags=-s -w", "-o", program, importPath)
	return program, err
}
