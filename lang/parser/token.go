package parser

import "github.com/snappy-policy/snappy/lang/source"

// kind is the kind of a token.
type kind uint8

const (
	tokEOF      kind = iota + 1
	tokNewline       // ends a statement; left out where a line goes on
	tokName          // lower-case, dotted, may end in ".*"; keywords are names
	tokConst         // upper-case constant name
	tokString        // with its quotes; escapes were checked
	tokInt           // checked, fits uint64
	tokDuration      // checked
	tokAddr          // address or CIDR, checked by net/netip
	tokBad           // stands where a literal or name was refused; already reported
	tokLParen
	tokRParen
	tokLBrace
	tokRBrace
	tokComma
	tokColon
	tokAssign // =
	tokArrow  // ->
	tokYields // =>
	tokRange  // ..
	tokEq
	tokNe
	tokLt
	tokLe
	tokGt
	tokGe
	tokShl
	tokShr
	tokPlus
	tokMinus
	tokStar
	tokSlash
	tokPercent
	tokAmp
	tokPipe
	tokCaret
	tokForeignAnd // &&, already reported
	tokForeignOr  // ||, already reported
	tokForeignNot // !, already reported
)

// token is a piece of the source. Its text is the source between start and end;
// what a literal stands for is worked out when the tree is built, so that a
// token is 12 bytes and a hostile file of single-byte tokens stays cheap.
type token struct {
	kind       kind
	bol        bool // first token of its line
	start, end int32
}

// reserved words cannot name sets, rules, params, states or helpers: they end
// conditions or are operators.
var reserved = map[string]bool{
	"and": true, "or": true, "not": true, "in": true, "matches": true, "under": true, "has": true,
	"true": true, "false": true, "when": true, "unless": true, "errno": true, "because": true, "as": true,
}

// wordOperators make a line that ends in them go on.
var wordOperators = map[string]bool{
	"and": true, "or": true, "not": true, "in": true, "matches": true, "under": true, "has": true,
	"when": true, "unless": true,
}

// goesOn tells whether a line that ends in the token continues on the next one.
func goesOn(f *source.File, t token) bool {
	switch t.kind {
	case tokName:
		return t.end-t.start <= 7 && wordOperators[f.Text[t.start:t.end]]
	case tokRParen, tokRBrace, tokYields:
		return false
	}
	return t.kind >= tokLParen
}
