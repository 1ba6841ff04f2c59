package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/snappy-policy/snappy/internal/vmtest"
)

const modulePath = "github.com/snappy-policy/snappy"

// testPackage is a package with kernel tests.
type testPackage struct {
	ImportPath string
	Dir        string
	tests      []string // names of the top-level kernel tests to run
	pattern    string   // for -test.run: exactly these tests
	binary     string
	guest      string
	broken     error // why there is no binary
}

// findPackages lists the packages with kernel tests that match the expression.
func findPackages(ctx context.Context, patterns []string, run string) ([]*testPackage, error) {
	out, err := goTool(ctx, append([]string{"list", "-e", "-tags=kernel", "-json=ImportPath,Dir,Error,TestGoFiles,XTestGoFiles"}, patterns...)...)
	if err != nil {
		return nil, err
	}
	top, rest := splitRun(run)
	match, err := regexp.Compile(top)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var found []*testPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir           string
			Error                     *struct{ Err string }
			TestGoFiles, XTestGoFiles []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		// A package that does not build matters only if it has kernel tests;
		// then it fails by itself, and the others still run.
		files, err := filepath.Glob(filepath.Join(p.Dir, vmtest.KernelTests))
		if err != nil {
			return nil, err
		}
		if p.Dir == "" || len(files) == 0 && p.Error != nil && len(patterns) == 1 && !strings.Contains(patterns[0], "...") {
			return nil, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		pkg := &testPackage{ImportPath: p.ImportPath, Dir: p.Dir}
		for _, f := range files {
			if base := filepath.Base(f); p.Error == nil && !slices.Contains(p.TestGoFiles, base) && !slices.Contains(p.XTestGoFiles, base) {
				return nil, fmt.Errorf("%s: not built with the tag kernel; check its build constraints", f)
			}
			names, err := testNames(f)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				if match.MatchString(name) {
					pkg.tests = append(pkg.tests, name)
				}
			}
		}
		if len(pkg.tests) > 0 {
			pkg.pattern = "^(" + strings.Join(pkg.tests, "|") + ")$" + rest
			found = append(found, pkg)
		}
	}
}

// testNames lists the tests of a file, and insists on its build tag: without it
// they would run on any host, as any user.
func testNames(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	tagged := false
	for _, group := range f.Comments {
		for _, c := range group.List {
			if c.Pos() < f.Package && strings.HasPrefix(c.Text, "//go:build ") && strings.Contains(c.Text, "kernel") {
				tagged = true
			}
		}
	}
	if !tagged {
		return nil, fmt.Errorf("%s: lacks //go:build kernel", file)
	}
	var names []string
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Recv == nil && isTestName(fn.Name.Name) {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

// isTestName follows the rule of the go command.
func isTestName(name string) bool {
	for _, prefix := range []string{"Test", "Fuzz"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && name != "TestMain" {
			r, _ := utf8.DecodeRuneInString(rest)
			return rest == "" || !unicode.IsLower(r)
		}
	}
	return false
}

// splitRun splits the expression of -run after its first element, which is for
// the names of top-level tests; rest keeps its slash.
func splitRun(run string) (top, rest string) {
	brackets, parens := 0, 0
	for i := 0; i < len(run); i++ {
		switch run[i] {
		case '\\':
			i++
		case '[':
			brackets++
		case ']':
			brackets = max(0, brackets-1)
		case '(':
			if brackets == 0 {
				parens++
			}
		case ')':
			if brackets == 0 {
				parens--
			}
		case '/':
			if brackets == 0 && parens == 0 {
				return run[:i], run[i:]
			}
		}
	}
	return run, ""
}

// buildTests builds the test binaries, statically, into dir. Packages that do
// not build are marked as broken.
func buildTests(ctx context.Context, packages []*testPackage, dir string) error {
	for i, p := range packages {
		p.binary = filepath.Join(dir, fmt.Sprintf("%d.test", i))
		guest, err := vmtest.GuestDir(p.Dir)
		if err != nil {
			return err
		}
		p.guest = guest
		if _, err := goTool(ctx, "test", "-c", "-tags=kernel", "-ldflags=-s -w", "-o", p.binary, p.ImportPath); err != nil {
			p.broken = err
		}
	}
	return ctx.Err()
}

// goTool runs the go command for static binaries and returns its output.
func goTool(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s%s", strings.Join(args, " "), err, stderr.Bytes(), out)
	}
	return out, nil
}
