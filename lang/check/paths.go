package check

import (
	"fmt"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/glob"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// globPattern makes a pattern of a glob in a string literal. A glob without
// wildcards becomes a Literal. verbatim tells that the text compared with it
// need not be canonical.
func (c *checker) globPattern(v operand, verbatim bool) (Pattern, bool) {
	g, err := glob.Parse(v.text)
	if err != nil {
		sp := v.sp
		// Point into the string if it is written without escapes.
		if e, ok := err.(*glob.Error); ok && sp.Text() == `"`+v.text+`"` && e.Offset < len(v.text) {
			sp.Start += 1 + e.Offset
			sp.End = sp.Start + 1
		}
		c.err(diag.BadGlob, sp, "", "malformed glob: %v", err)
		return Pattern{}, false
	}
	if !verbatim && !c.reportFlaw(v.sp, v.text, g.PathFlaw(), true) {
		return Pattern{}, false
	}
	if text, ok := g.Literal(); ok {
		return Pattern{Literal, text, v.sp}, true
	}
	return Pattern{Glob, v.text, v.sp}, true
}

// checkLiteralPath checks a path that is compared byte by byte.
func (c *checker) checkLiteralPath(sp source.Span, text string) bool {
	if text != "" && text[0] == '/' && glob.HasMeta(text) {
		c.warn(diag.GlobInLiteral, sp, "globs stand after `matches` and in path sets",
			"%s is compared as it is; its wildcards mean themselves", quote(text))
	}
	return c.reportFlaw(sp, text, glob.LiteralFlaw(text), false)
}

// reportFlaw tells why no path can match; false if that is an error.
func (c *checker) reportFlaw(sp source.Span, text string, flaw glob.Flaw, isGlob bool) bool {
	why := ""
	switch flaw {
	case glob.Fine:
		return true
	case glob.Relative:
		help := "write " + quote("/"+text) + "; to match it in any folder, " + quote("**/"+text)
		if !isGlob {
			help = "write " + quote("/"+text) + "; to match it in any folder, " + quote("matches \"**/"+text+"\"")
		}
		if strings.HasPrefix(text, "*") && !strings.HasPrefix(text, "**") {
			help = "`*` does not match `/`; did you mean " + quote("*"+text) + "?"
		} else if strings.HasPrefix(text, "~") {
			help = "policies know no home directories; write the whole path"
		}
		c.err(diag.RelativePath, sp, help, "no path matches %s: paths are absolute", quote(text))
		return false
	case glob.DoubledSlash:
		why = "paths have no `//`"
	case glob.Dot:
		why = "paths have no component `.`"
	case glob.DotDot:
		why = "paths have no component `..`"
	case glob.FinalSlash:
		why = "paths do not end in `/`"
	case glob.TooLong:
		why = fmt.Sprintf("paths have at most %d bytes", types.MaxPath)
	default:
		why = "it has several of `//`, `/./`, `/../` and a `/` at the end"
	}
	c.warn(diag.PathImpossible, sp, "", "no path matches %s: %s", quote(text), why)
	return true
}

// trimDir drops slashes at the end of a directory's name.
func trimDir(text string) string {
	t := strings.TrimRight(text, "/")
	if t == "" && text != "" {
		return "/"
	}
	return t
}

// checkText warns about text that a field is too short to hold.
func (c *checker) checkText(v operand, use *fieldUse) {
	if use != nil && len(v.text) > use.maxLen {
		c.warn(diag.TextTooLong, v.sp, "", "%s is never equal to %s: it has at most %d bytes",
			quote(use.field.Name), quote(v.text), use.maxLen)
	}
}

// equalText compares a path or string field with a constant text. fits is
// false if the types do not; the condition is nil if an error was reported.
func (c *checker) equalText(sp source.Span, x, y operand) (cond Cond, fits bool) {
	f := x.use.field
	switch {
	case f.Kind == types.Path && (y.kind == textOperand || y.kind == pathOperand):
		if y.kind == textOperand && !x.use.verbatim && !c.checkLiteralPath(y.sp, y.text) {
			return nil, true
		}
		return &PathIn{sp, f, []Pattern{{Literal, y.text, y.sp}}}, true
	case f.Kind == types.String && (y.kind == textOperand || y.kind == stringOperand):
		c.checkText(y, x.use)
		return &StringIn{sp, f, []Pattern{{Literal, y.text, y.sp}}}, true
	}
	return nil, false
}

// matches checks `field matches GLOB`.
func (c *checker) matches(sc *scope, e *ast.BinaryExpr, sp source.Span, depth int) Cond {
	x, ok := c.textField(sc, e, depth)
	if !ok {
		return nil
	}
	lit, isLit := unparen(e.Y).(*ast.StringLit)
	if !isLit {
		help := ""
		if n, isName := unparen(e.Y).(*ast.NameExpr); isName && c.sets[n.Ident.Name] != nil {
			c.sets[n.Ident.Name].used = true
			help = "membership in a set is written `in`"
		} else if _, isSet := unparen(e.Y).(*ast.SetLit); isSet {
			help = "write `in` before a set; the members of a path set are globs"
		}
		c.patternOperand(e.Y, help, "`matches` needs a glob in quotes after it")
		return nil
	}
	p, ok := c.globPattern(operand{kind: textOperand, sp: lit.Sp, text: lit.Value}, x.use.verbatim || x.use.field.Kind == types.String)
	if !ok {
		return nil
	}
	if x.use.field.Kind == types.Path {
		return &PathIn{sp, x.use.field, []Pattern{p}}
	}
	return &StringIn{sp, x.use.field, []Pattern{p}}
}

// under checks `path under DIR`.
func (c *checker) under(sc *scope, e *ast.BinaryExpr, sp source.Span, depth int) Cond {
	x, ok := c.textField(sc, e, depth)
	if !ok {
		return nil
	}
	if x.use.field.Kind != types.Path {
		c.err(diag.TypeMismatch, x.sp, "for strings there is `matches`", "`under` is about paths; %s is %s", quote(x.use.field.Name), kindName(x.use.field.Kind))
		return nil
	}
	var dir operand
	switch y := unparen(e.Y).(type) {
	case *ast.StringLit:
		dir = operand{kind: textOperand, sp: y.Sp, text: trimDir(y.Value)}
	case *ast.NameExpr:
		if p := c.params[y.Ident.Name]; p != nil {
			dir = c.paramOperand(p, y.Ident)
			if dir.kind == badOperand {
				return nil
			}
		}
	}
	if dir.kind != textOperand && dir.kind != pathOperand {
		c.patternOperand(e.Y, "for several write `path under A or path under B`", "`under` needs a directory in quotes, or a param of type path, after it")
		return nil
	}
	if dir.text == "" {
		c.err(diag.RelativePath, dir.sp, "", "`under` needs the absolute path of a directory")
		return nil
	}
	if dir.kind == textOperand && !x.use.verbatim && !c.checkLiteralPath(dir.sp, dir.text) {
		return nil
	}
	return &PathIn{sp, x.use.field, []Pattern{{Under, dir.text, dir.sp}}}
}

// patternOperand reports a right side that is no pattern, or what is wrong inside it.
func (c *checker) patternOperand(e ast.Expr, help, message string) {
	if _, bad := unparen(e).(*ast.BadExpr); !bad {
		c.err(diag.PatternOperand, e.Span(), help, "%s", message)
	}
}

// textField checks the left side of matches and under.
func (c *checker) textField(sc *scope, e *ast.BinaryExpr, depth int) (operand, bool) {
	x := c.operand(sc, e.X, enumHint{}, depth+1)
	if x.kind == badOperand {
		return x, false
	}
	if x.kind != fieldOperand || x.use.field.Kind == types.Addr {
		c.err(diag.TypeMismatch, x.sp, "", "the left side of %s must be a path or string field; this is %s", quote(e.Op.String()), x.typeName())
		return x, false
	}
	return x, true
}

func unparen(e ast.Expr) ast.Expr {
	for {
		p, ok := e.(*ast.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}
