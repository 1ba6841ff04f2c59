// Package load reads a policy file and all that it imports.
//
// Input is a file system and the name of the main file in it; output a Unit of
// parsed files and all errors found in any of them. Imports are resolved inside
// the file system only, so that what a policy says does not depend on the
// machine that compiles it. Use os.Root.FS for policies that are not trusted: it
// does not follow symbolic links out of its folder, as os.DirFS does.
//
// An imported file is a library: it has no policy statement. A file may be
// imported by several others and counts once; importing it twice from one file,
// or in a cycle, is an error.
package load

import (
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/parser"
	"github.com/snappy-policy/snappy/lang/source"
)

// Limits of one policy with its imports (docs/language.md, limits).
const (
	MaxFiles = 64
	MaxBytes = 4 << 20
)

// Options says how Load names files.
type Options struct {
	// Prefix is put before each name in source.File.Name, so that diagnostics show
	// the path as the user gave it: the folder that the file system stands for,
	// with its slash.
	Prefix string
}

// Unit is a policy file with everything that it imports.
type Unit struct {
	Main *ast.File
	// Files holds Main, then the imported files in the order of their first import,
	// depth first.
	Files []*ast.File
	// Imports tells which file each import statement of Files means. Statements
	// that were refused are not in it.
	Imports map[*ast.ImportStmt]*ast.File
}

// Load reads and parses the file called name, a slash-separated path in fsys as
// fs.ValidPath wants it, and what it imports. The Unit is never nil; if the list
// has errors it may be incomplete and must only be used to find more of them.
func Load(fsys fs.FS, name string, opt Options) (*Unit, diag.List) {
	l := &loader{fsys: fsys, opt: opt, files: map[string]*ast.File{},
		unit: &Unit{Imports: map[*ast.ImportStmt]*ast.File{}}}
	l.unit.Main = l.file(name, nil)
	if l.unit.Main == nil {
		l.unit.Main = &ast.File{Source: source.New(opt.Prefix+name, "")}
		l.unit.Files = []*ast.File{l.unit.Main}
	}
	return l.unit, l.list
}

// frame is a file whose imports are being read.
type frame struct {
	name string
	stmt *ast.ImportStmt // the import that led to it; nil for the main file
}

type loader struct {
	fsys  fs.FS
	opt   Options
	unit  *Unit
	list  diag.List
	files map[string]*ast.File // by path in fsys
	stack []frame
	bytes int
	full  bool // a limit was passed and reported
}

// file reads a file and its imports; nil if it cannot be read.
func (l *loader) file(name string, stmt *ast.ImportStmt) *ast.File {
	text, ok := l.read(name, stmt)
	if !ok {
		return nil
	}
	f, errs := parser.Parse(source.New(l.opt.Prefix+name, text))
	l.list = append(l.list, errs...)
	l.files[name] = f
	l.unit.Files = append(l.unit.Files, f)
	l.stack = append(l.stack, frame{name, stmt})
	l.imports(name, f)
	l.stack = l.stack[:len(l.stack)-1]
	return f
}

// imports resolves the import statements of a file.
func (l *loader) imports(name string, f *ast.File) {
	seen := map[string]*ast.ImportStmt{}
	for _, s := range f.Stmts {
		stmt, ok := s.(*ast.ImportStmt)
		if !ok || l.full {
			continue
		}
		target, ok := l.resolve(name, stmt)
		if !ok {
			continue
		}
		if first := seen[target]; first != nil {
			l.duplicate(stmt, first)
			continue
		}
		seen[target] = stmt
		if l.cyclic(target, stmt) {
			continue
		}
		g := l.files[target]
		if g == nil {
			if g = l.file(target, stmt); g == nil {
				continue
			}
		}
		if p := g.Policy(); p != nil {
			l.importedPolicy(stmt, p)
			continue
		}
		l.unit.Imports[stmt] = g
	}
}

// resolve gives the path in fsys that an import means.
func (l *loader) resolve(from string, stmt *ast.ImportStmt) (string, bool) {
	p := stmt.Path.Value
	if p == "std" || strings.HasPrefix(p, "std/") {
		l.std(stmt)
		return "", false
	}
	why := ""
	target := path.Join(path.Dir(from), p)
	switch {
	case strings.Contains(p, `\`):
		why = "it has a backslash"
	case path.IsAbs(p):
		why = "it is absolute"
	case !strings.HasPrefix(p, "./") && !strings.HasPrefix(p, "../"):
		why = "it does not begin with ./ or ../"
	case !strings.HasSuffix(p, ".snp"):
		why = "it does not end in .snp"
	case target == ".." || strings.HasPrefix(target, "../"):
		why = "it leaves the folder of the policy"
	case !fs.ValidPath(target):
		why = "it is not a valid path"
	}
	if why != "" {
		l.badPath(stmt, why)
		return "", false
	}
	return target, true
}

// cyclic reports an import of a file whose imports are being read.
func (l *loader) cyclic(target string, stmt *ast.ImportStmt) bool {
	for i, f := range l.stack {
		if f.name == target {
			l.cycle(stmt, l.stack[i+1:])
			return true
		}
	}
	return false
}

// read gives the text of a file, within the limits.
func (l *loader) read(name string, stmt *ast.ImportStmt) (string, bool) {
	if len(l.files) >= MaxFiles {
		l.full = true
		l.tooManyFiles(stmt)
		return "", false
	}
	if !fs.ValidPath(name) {
		l.unreadable(name, stmt, fs.ErrInvalid)
		return "", false
	}
	// Opening a FIFO would wait for a writer, and a device has no end.
	info, err := fs.Stat(l.fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		l.notRegular(name, stmt, info.IsDir())
		return "", false
	}
	var text []byte
	if err == nil {
		// One byte more than is allowed tells the parser that the file is too large.
		text, err = readUpTo(l.fsys, name, source.MaxSize+1)
	}
	if err != nil {
		l.unreadable(name, stmt, err)
		return "", false
	}
	if l.bytes += len(text); l.bytes > MaxBytes {
		l.full = true
		l.tooManyBytes(stmt)
		return "", false
	}
	return string(text), true
}

func readUpTo(fsys fs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
