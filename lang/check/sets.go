package check

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/diag"
	"github.com/snappy-policy/snappy/lang/glob"
	"github.com/snappy-policy/snappy/lang/source"
	"github.com/snappy-policy/snappy/lang/types"
)

// setKind is the kind of a set.
type setKind uint8

const (
	badSet setKind = iota // an error was reported
	pathSet
	cidrSet
	portSet
	intSet
	stringSet
	capSet
	signalSet
)

var setKinds = []struct {
	name string
	kind setKind
}{{"path", pathSet}, {"cidr", cidrSet}, {"port", portSet}, {"int", intSet}, {"string", stringSet}, {"cap", capSet}, {"signal", signalSet}}

func (k setKind) String() string {
	for _, s := range setKinds {
		if s.kind == k {
			return s.name
		}
	}
	return "invalid"
}

// members are what a set holds; one of the slices, by the set's kind.
type members struct {
	patterns []Pattern
	ranges   []Range
	prefixes []netip.Prefix
}

// set is a declared set.
type set struct {
	decl *ast.SetStmt
	main bool // declared in the policy's own file
	used bool
	kind setKind
	members
	state uint8 // of resolving: new, open, done
}

const (
	setNew uint8 = iota
	setOpen
	setDone
)

// param is a declared param with its value.
type param struct {
	decl *ast.ParamStmt
	main bool
	used bool
	// value has no span of its own; kind is badOperand if an error was reported.
	value operand
}

// resolveSets gives params and sets their values.
func (c *checker) resolveSets() {
	for _, p := range c.prmList {
		c.resolveParam(p)
	}
	for _, s := range c.setList {
		c.resolveSet(s, ast.Ident{})
	}
}

// resolveParam checks a param's type and default.
func (c *checker) resolveParam(p *param) {
	d := p.decl
	kinds := map[string]types.Kind{"int": types.Int, "bool": types.Bool, "string": types.String, "path": types.Path, "addr": types.Addr}
	kind, ok := kinds[d.Type.Name]
	if !ok {
		help := c.didYouMean(d.Type.Name, []string{"int", "bool", "string", "path", "addr"}, "params are int, bool, string, path or addr")
		if d.Type.Name == "port" {
			help = "a port is an int"
		}
		c.err(diag.UnknownType, d.Type.Sp, help, "there is no param type %s", quote(d.Type.Name))
		return
	}
	if d.Default == nil {
		c.err(diag.ParamLater, d.Sp, "write `param "+d.Name.Name+": "+d.Type.Name+" = DEFAULT`",
			"param %s has no default; values cannot be given from outside yet", quote(d.Name.Name))
		return
	}
	v := c.operand(nil, d.Default, enumHint{}, 0)
	if v.kind == badOperand {
		return
	}
	value := ""
	switch {
	case kind == types.Int && v.kind == intOperand:
		n, _ := v.constant()
		value = strconv.FormatInt(n, 10)
	case kind == types.Bool && v.kind == condOperand:
		k, ok := v.cond.(*Const)
		if !ok {
			c.err(diag.NotConstant, v.sp, "", "the default of a param must be a constant")
			return
		}
		value = strconv.FormatBool(k.Value)
	case kind == types.String && v.kind == textOperand:
		v.kind, value = stringOperand, v.text
	case kind == types.Path && v.kind == textOperand:
		v.text = trimDir(v.text)
		if !c.checkLiteralPath(v.sp, v.text) {
			return
		}
		v.kind, value = pathOperand, v.text
	case kind == types.Addr && v.kind == addrOperand:
		value = prefixText(v.prefix)
	default:
		c.err(diag.ParamDefault, d.Default.Span(), "", "param %s is %s; its default is %s", quote(d.Name.Name), kindName(kind), v.typeName())
		return
	}
	p.value = v
	c.policy.Params = append(c.policy.Params, &Param{Name: d.Name.Name, Kind: kind, Value: value, Span: d.Sp})
}

// prefixText writes a single address without its length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// paramOperand is the use of a param at a place.
func (c *checker) paramOperand(p *param, id ast.Ident) operand {
	p.used = true
	v := p.value
	v.sp = id.Sp
	if k, ok := v.constant(); ok {
		return constant(id.Sp, k)
	}
	if k, ok := v.cond.(*Const); ok {
		v.cond = &Const{id.Sp, k.Value}
	}
	return v
}

// resolveSet works out a set and those that it names.
func (c *checker) resolveSet(s *set, from ast.Ident) {
	switch s.state {
	case setDone:
		return
	case setOpen:
		d := c.err(diag.SetCycle, from.Sp, "", "set %s contains itself", quote(s.decl.Name.Name))
		related(d, s.decl.Name.Sp, "declared here")
		s.kind = badSet
		return
	}
	s.state = setOpen
	defer func() { s.state = setDone }()
	name := s.decl.Kind.Name
	for _, k := range setKinds {
		if k.name == name {
			s.kind = k.kind
		}
	}
	if s.kind == badSet {
		c.setKindError(s.decl.Kind)
		return
	}
	if s.decl.Set == nil {
		s.kind = badSet
		return
	}
	if len(s.decl.Set.Elems) == 0 {
		c.warn(diag.SetEmpty, s.decl.Name.Sp, "", "set %s is empty: nothing is in it", quote(s.decl.Name.Name))
	}
	b := c.newSetBuilder(s.kind, nil)
	for _, e := range s.decl.Set.Elems {
		b.element(e)
	}
	if b.bad {
		s.kind = badSet
	}
	s.members = b.done()
}

func (c *checker) setKindError(id ast.Ident) {
	if id.Name == "op" {
		c.err(diag.SetKindLater, id.Sp, "name the operations in the rule, or use a group", "sets of operations are not supported yet")
		return
	}
	var names []string
	for _, k := range setKinds {
		names = append(names, k.name)
	}
	help := c.didYouMean(id.Name, names, "sets are of kind "+strings.Join(names, ", "))
	if id.Name == "addr" || id.Name == "ip" {
		help = "sets of addresses are of kind cidr"
	}
	c.err(diag.UnknownSetKind, id.Sp, help, "there is no set kind %s", quote(id.Name))
}

// setBuilder collects the members of one set or set literal.
type setBuilder struct {
	c    *checker
	kind setKind
	// use is the field that a literal is compared with; nil in a declaration.
	use  *fieldUse
	hint enumHint
	seen map[string]bool
	members
	// named are the declared sets that a literal names: they are shared, not copied.
	named []*set
	bad   bool
}

func (c *checker) newSetBuilder(kind setKind, use *fieldUse) *setBuilder {
	b := &setBuilder{c: c, kind: kind, use: use, seen: map[string]bool{}}
	switch {
	case use != nil && use.field.Enum != nil:
		b.hint.enum = use.field.Enum
	case use != nil:
		b.hint.plain = use.field
	case kind == capSet:
		b.hint.enum = c.schema.Enum(types.EnumCap)
	case kind == signalSet:
		b.hint.enum = c.schema.Enum(types.EnumSignal)
	}
	return b
}

func (b *setBuilder) done() members {
	return members{b.patterns, normalRanges(b.ranges), normalPrefixes(b.prefixes)}
}

// count books members against the policy's limit.
func (b *setBuilder) count(n int, sp source.Span) bool {
	c := b.c
	if c.members += n; c.members <= MaxMembers {
		return true
	}
	if !c.tooMany {
		c.tooMany = true
		c.err(diag.TooManyMembers, sp, "", "the sets of the policy have more than %d members", MaxMembers)
	}
	b.bad = true
	return false
}

// fresh tells whether a member is new to the set, and warns if it is not.
func (b *setBuilder) fresh(sp source.Span, key string) bool {
	if b.seen[key] {
		b.c.warn(diag.DuplicateMember, sp, "", "%s is in the set already", quote(key))
		return false
	}
	b.seen[key] = true
	return true
}

// element adds one element as written.
func (b *setBuilder) element(e ast.Expr) {
	c := b.c
	for {
		p, ok := e.(*ast.ParenExpr)
		if !ok {
			break
		}
		e = p.X
	}
	switch e := e.(type) {
	case *ast.BadExpr:
		b.bad = true
		return
	case *ast.RangeExpr:
		if b.count(1, e.Span()) {
			b.rangeElement(e)
		}
		return
	case *ast.NameExpr:
		if s := c.sets[e.Ident.Name]; s != nil {
			b.nested(s, e.Ident)
			return
		}
		if _, constant := b.hint.enum.Lookup(e.Ident.Name); !constant && c.params[e.Ident.Name] == nil && !isConstant(e.Ident.Name) && !c.anyField(e.Ident.Name) {
			b.bad = true
			var names []string
			for _, s := range c.setList {
				names = append(names, s.decl.Name.Name)
			}
			for _, p := range c.prmList {
				names = append(names, p.decl.Name.Name)
			}
			c.err(diag.UnknownSet, e.Ident.Sp, c.didYouMean(e.Ident.Name, names, ""), "there is no set or param named %s", quote(e.Ident.Name))
			return
		}
	}
	if !b.count(1, e.Span()) {
		return
	}
	v := c.operand(nil, e, b.hint, 0)
	if v.kind == badOperand || !b.add(v) {
		b.bad = true
	}
}

// add adds a constant; false after reporting an error.
func (b *setBuilder) add(v operand) bool {
	c := b.c
	n, isInt := v.constant()
	switch b.kind {
	case pathSet:
		switch v.kind {
		case textOperand:
			p, ok := c.globPattern(v, b.use != nil && b.use.verbatim)
			if ok && b.fresh(v.sp, v.text) {
				b.patterns = append(b.patterns, p)
			}
			return ok
		case pathOperand:
			if b.fresh(v.sp, glob.Quote(v.text)) {
				b.patterns = append(b.patterns, Pattern{Literal, v.text, v.sp})
			}
			return true
		}
	case stringSet:
		if v.kind == textOperand || v.kind == stringOperand {
			c.checkText(v, b.use)
			if b.fresh(v.sp, v.text) {
				b.patterns = append(b.patterns, Pattern{Literal, v.text, v.sp})
			}
			return true
		}
	case cidrSet:
		if v.kind == addrOperand {
			if b.fresh(v.sp, prefixText(v.prefix)) {
				b.prefixes = append(b.prefixes, v.prefix)
			}
			return true
		}
	default:
		if isInt {
			if b.isPort() && !c.portRange(v.sp, n) {
				return false
			}
			if b.fresh(v.sp, strconv.FormatInt(n, 10)) {
				b.ranges = append(b.ranges, Range{n, n})
			}
			return true
		}
	}
	c.err(diag.WrongMember, v.sp, "", "a set of kind %s cannot hold %s", b.kind, v.typeName())
	return false
}

func (b *setBuilder) isPort() bool { return b.kind == portSet || b.use.isPort() }

// portRange checks that a constant is a port.
func (c *checker) portRange(sp source.Span, n int64) bool {
	if n < 0 || n > 65535 {
		c.err(diag.PortRange, sp, "", "a port is 0 to 65535, not %d", n)
		return false
	}
	return true
}

func (b *setBuilder) rangeElement(e *ast.RangeExpr) {
	switch b.kind {
	case pathSet, stringSet, cidrSet:
		help := ""
		if b.kind == cidrSet {
			help = "write prefixes, such as 10.0.0.0/8"
		}
		b.c.err(diag.WrongMember, e.Span(), help, "a set of kind %s cannot hold a range", b.kind)
		b.bad = true
		return
	}
	r, ok := b.c.constantRange(nil, e, b.hint, b.isPort())
	if !ok {
		b.bad = true
		return
	}
	if b.fresh(e.Span(), fmt.Sprintf("%d..%d", r.Lo, r.Hi)) {
		b.ranges = append(b.ranges, r)
	}
}

// constantRange checks LO..HI.
func (c *checker) constantRange(sc *scope, e *ast.RangeExpr, h enumHint, port bool) (Range, bool) {
	lo, loOK := c.bound(sc, e.Lo, h)
	hi, hiOK := c.bound(sc, e.Hi, h)
	if !loOK || !hiOK {
		return Range{}, false
	}
	if port && (!c.portRange(e.Lo.Span(), lo) || !c.portRange(e.Hi.Span(), hi)) {
		return Range{}, false
	}
	if lo > hi {
		c.err(diag.RangeReversed, e.Span(), fmt.Sprintf("did you mean `%d..%d`?", hi, lo), "the range %d..%d is empty", lo, hi)
		return Range{}, false
	}
	return Range{lo, hi}, true
}

func (c *checker) bound(sc *scope, e ast.Expr, h enumHint) (int64, bool) {
	o := c.operand(sc, e, h, 0)
	if o.kind == badOperand {
		return 0, false
	}
	if o.kind != intOperand {
		c.err(diag.NotInteger, o.sp, "", "a range goes from int to int; this is %s", o.typeName())
		return 0, false
	}
	n, ok := o.constant()
	if !ok {
		c.err(diag.NotConstant, o.sp, "compare with >= and <=", "the ends of a range must be constants")
	}
	return n, ok
}

// nested adds the members of a declared set, or notes the set if a literal names it.
func (b *setBuilder) nested(s *set, id ast.Ident) {
	c := b.c
	c.resolveSet(s, id)
	s.used = true
	if s.kind == badSet {
		b.bad = true
		return
	}
	if b.use != nil {
		if !c.setFits(s, b.use, id.Sp) {
			b.bad = true
			return
		}
		b.named = append(b.named, s)
		return
	}
	if s.kind != b.kind {
		d := c.err(diag.WrongSetKind, id.Sp, "", "a set of kind %s cannot contain %s, which is of kind %s", b.kind, quote(id.Name), s.kind)
		related(d, s.decl.Kind.Sp, "declared here")
		b.bad = true
		return
	}
	if !b.count(len(s.patterns)+len(s.ranges)+len(s.prefixes), id.Sp) {
		return
	}
	for _, p := range s.patterns {
		text := p.Text
		if p.Kind == Literal && s.kind == pathSet {
			text = glob.Quote(text)
		}
		if !b.seen[text] {
			b.seen[text] = true
			b.patterns = append(b.patterns, p)
		}
	}
	b.ranges = append(b.ranges, s.ranges...)
	b.prefixes = append(b.prefixes, s.prefixes...)
}
