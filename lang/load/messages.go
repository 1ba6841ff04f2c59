package load

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/source"
)

// add reports an error at an import's path; at no place for the main file.
func (l *loader) add(code diag.Code, stmt *ast.ImportStmt, message, help string) *diag.Diagnostic {
	d := diag.Diagnostic{Code: code, Severity: diag.Error, Message: message, Help: help}
	if stmt != nil {
		d.Span = stmt.Path.Sp
	}
	l.list = append(l.list, d)
	return &l.list[len(l.list)-1]
}

func related(d *diag.Diagnostic, sp source.Span, message string) {
	d.Related = append(d.Related, diag.Related{Span: sp, Message: message})
}

func (l *loader) unreadable(name string, stmt *ast.ImportStmt, err error) {
	shown := l.opt.Prefix + name
	if errors.Is(err, fs.ErrNotExist) {
		l.add(diag.ImportNotFound, stmt, fmt.Sprintf("there is no file %q", shown), l.nearby(name))
		return
	}
	// The error of the system without the path in it, which may be that of the machine.
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	l.add(diag.ImportUnreadable, stmt, fmt.Sprintf("the file %q cannot be read: %v", shown, err), "")
}

// nearby suggests a file of the same folder whose name is like the one asked for.
func (l *loader) nearby(name string) string {
	entries, err := fs.ReadDir(l.fsys, path.Dir(name))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if path.Ext(e.Name()) == ".snp" {
			names = append(names, e.Name())
		}
	}
	if s := diag.Suggest(path.Base(name), names); s != "" {
		return fmt.Sprintf("did you mean %q?", s)
	}
	return ""
}

func (l *loader) notRegular(name string, stmt *ast.ImportStmt, dir bool) {
	what := "not a regular file"
	if dir {
		what = "a folder"
	}
	l.add(diag.ImportUnreadable, stmt, fmt.Sprintf("%q is %s", l.opt.Prefix+name, what), "import the files that it holds one by one")
}

func (l *loader) badPath(stmt *ast.ImportStmt, why string) {
	l.add(diag.BadImportPath, stmt, fmt.Sprintf("the import path %s cannot be used: %s", clip(stmt.Path.Value), why),
		`write a path relative to this file, such as "./sets.snp"`)
}

// clip quotes an import path, shortened if it is very long.
func clip(p string) string {
	const most = 60
	if len(p) > most {
		return fmt.Sprintf("%q…", p[:most])
	}
	return fmt.Sprintf("%q", p)
}

func (l *loader) std(stmt *ast.ImportStmt) {
	l.add(diag.StdNotSupported, stmt, fmt.Sprintf("the standard library is not supported yet: %s", clip(stmt.Path.Value)),
		"copy what you need into a file beside the policy and import that")
}

func (l *loader) duplicate(stmt, first *ast.ImportStmt) {
	d := l.add(diag.DuplicateImport, stmt, fmt.Sprintf("%s is imported twice", clip(stmt.Path.Value)), "remove one of the two")
	related(d, first.Sp, "first imported here")
}

// cycle reports an import that leads back; between are the imports on the way.
func (l *loader) cycle(stmt *ast.ImportStmt, between []frame) {
	message := fmt.Sprintf("import cycle: %s imports itself", clip(stmt.Path.Value))
	if len(between) > 0 {
		message += " through other files"
	}
	d := l.add(diag.ImportCycle, stmt, message, "move what both need into a third file")
	for _, f := range between {
		related(d, f.stmt.Sp, "through this import")
	}
}

func (l *loader) importedPolicy(stmt *ast.ImportStmt, p *ast.PolicyStmt) {
	d := l.add(diag.ImportedPolicy, stmt, fmt.Sprintf("%s is a policy; only libraries can be imported", clip(stmt.Path.Value)),
		"move the rules that both need into a file without a policy statement")
	related(d, p.Sp, "this makes it a policy")
}

func (l *loader) tooManyFiles(stmt *ast.ImportStmt) {
	l.add(diag.TooManyFiles, stmt, fmt.Sprintf("the policy and its imports are more than %d files", MaxFiles), "")
}

func (l *loader) tooManyBytes(stmt *ast.ImportStmt) {
	l.add(diag.SourceTooLarge, stmt, fmt.Sprintf("the policy and its imports are more than %d bytes", MaxBytes), "")
}
