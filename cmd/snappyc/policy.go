package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/snappy-policy/snappy/compiler"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/load"
	"github.com/snappy-policy/snappy/lang/source"
)

// stdin is the name of standard input on the command line, stdinName in messages.
const (
	stdin     = "-"
	stdinName = "<stdin>"
)

// policyFile is a policy that the user named.
type policyFile struct {
	files  fs.FS  // what its imports can reach
	name   string // of the policy, in files
	prefix string // what the user typed is prefix + name
	close  func() error
}

// openPolicy opens a policy file by what the user typed. Imports reach what lies
// below the working directory, or, for a file elsewhere, below the file's own
// folder; symbolic links do not lead out of it.
func openPolicy(typed string) (*policyFile, error) {
	folder, p := ".", &policyFile{}
	switch clean := filepath.Clean(typed); {
	case typed == "":
		return nil, usageError{fmt.Errorf("the name of a policy file is empty")}
	case typed == stdin:
		p.name = stdinName
	case filepath.IsLocal(clean):
		p.name = filepath.ToSlash(clean)
		p.prefix, _ = strings.CutSuffix(filepath.ToSlash(typed), p.name)
		if p.prefix == filepath.ToSlash(typed) { // typed in a roundabout way
			p.prefix = ""
		}
	default:
		folder, p.name = filepath.Split(clean)
		p.prefix = filepath.ToSlash(folder)
		folder = filepath.Clean(folder)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	p.files, p.close = root.FS(), root.Close
	if typed == stdin {
		// One byte more than is allowed tells the parser that it is too large.
		text, err := io.ReadAll(io.LimitReader(os.Stdin, source.MaxSize+1))
		if err != nil {
			root.Close()
			return nil, fmt.Errorf("standard input: %w", err)
		}
		p.files = withStdin{p.files, text}
	}
	return p, nil
}

// read gives the policy's own text, cut behind the first byte that is too much.
func (p *policyFile) read() (*source.File, error) {
	typed := p.prefix + p.name
	info, err := fs.Stat(p.files, p.name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", typed, cause(err))
	}
	if !info.Mode().IsRegular() { // opening a FIFO would wait for a writer
		return nil, fmt.Errorf("%s: not a regular file", typed)
	}
	f, err := p.files.Open(p.name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", typed, cause(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, source.MaxSize+1))
	return source.New(typed, string(text)), err
}

// cause is an error without the system call and path that it happened to.
func cause(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// compileFile compiles the policy that the user named. In the result files have
// the names that the user knows.
func compileFile(typed string) (*compiler.Result, diag.List, error) {
	p, err := openPolicy(typed)
	if err != nil {
		return nil, nil, err
	}
	defer p.close()
	r, list := compiler.Compile(p.files, p.name, compiler.Options{Version: version, Load: load.Options{Prefix: p.prefix}})
	return r, list, nil
}

// compilePortable is compileFile, but in the object files have names that are
// relative to the folder that imports can reach: the object does not tell where
// it was made.
func compilePortable(typed string) (*compiler.Result, diag.List, error) {
	p, err := openPolicy(typed)
	if err != nil {
		return nil, nil, err
	}
	defer p.close()
	r, list := compiler.Compile(p.files, p.name, compiler.Options{Version: version})
	if r.Unit != nil {
		// Diagnostics go to whoever typed the name.
		for _, f := range r.Unit.Files {
			f.Source.Name = p.prefix + f.Source.Name
		}
	}
	return r, list, nil
}

// withStdin is a file system that has standard input as one more file.
type withStdin struct {
	fs.FS
	text []byte
}

func (w withStdin) Open(name string) (fs.File, error) {
	if name == stdinName {
		return &stdinFile{bytes.NewReader(w.text)}, nil
	}
	return w.FS.Open(name)
}

type stdinFile struct{ *bytes.Reader }

func (f *stdinFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *stdinFile) Close() error               { return nil }
func (f *stdinFile) Name() string               { return stdinName }
func (f *stdinFile) Mode() fs.FileMode          { return 0o444 }
func (f *stdinFile) ModTime() time.Time         { return time.Time{} }
func (f *stdinFile) IsDir() bool                { return false }
func (f *stdinFile) Sys() any                   { return nil }
