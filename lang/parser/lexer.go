package parser

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/snappy-policy/snappy/lang/ast"
	"github.com/snappy-policy/snappy/lang/source"
)

// scanner cuts a file into tokens and comments. It reports what it refuses and
// goes on: a refused literal becomes a tokBad, a refused character is skipped.
type scanner struct {
	file     *source.File
	text     string
	pos      int
	bol      bool
	tokens   []token
	comments []*ast.Comment
	errs     *reporter
}

// scan reads the whole file. The last token is tokEOF.
func scan(f *source.File, errs *reporter) ([]token, []*ast.Comment) {
	// A token per four bytes is what policies have.
	s := &scanner{file: f, text: f.Text, bol: true, errs: errs, tokens: make([]token, 0, len(f.Text)/4+2)}
	s.checkText()
	if strings.HasPrefix(s.text, "\ufeff") {
		s.pos = len("\ufeff")
	}
	for s.pos < len(s.text) && !errs.full() {
		s.next()
	}
	s.pos = len(s.text)
	s.newline(s.pos)
	s.tokens = append(s.tokens, token{tokEOF, true, int32(s.pos), int32(s.pos)})
	return s.tokens, s.comments
}

// checkText reports bytes that may stand nowhere, not even in a comment: what a
// reviewer cannot see must not be there.
func (s *scanner) checkText() {
	for i := 0; i < len(s.text) && !s.errs.full(); {
		c := s.text[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\n' && c != '\t' && !(c == '\r' && i+1 < len(s.text) && s.text[i+1] == '\n') || c == 0x7f {
				n := i + 1
				for n < len(s.text) && s.text[n] == c {
					n++
				}
				s.errs.controlChar(i, n, c)
				i = n
				continue
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s.text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			for i+n < len(s.text) {
				if r, m := utf8.DecodeRuneInString(s.text[i+n:]); r != utf8.RuneError || m != 1 {
					break
				}
				n++
			}
			s.errs.invalidUTF8(i, i+n)
		case r == '\ufeff' && i == 0:
			s.errs.byteOrderMark(i, i+n)
		case invisible(r):
			s.errs.invisibleChar(i, i+n, r)
		}
		i += n
	}
}

// invisible tells runes that a reviewer cannot see or that reorder the text
// around them: controls, format characters (bidi among them), odd separators.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) ||
		r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' || r == '\u034f'
}

func (s *scanner) emit(k kind, start, end int) {
	s.tokens = append(s.tokens, token{k, s.bol, int32(start), int32(end)})
	s.bol = false
	s.pos = end
}

// newline ends the line, and the statement unless the line goes on.
func (s *scanner) newline(at int) {
	if n := len(s.tokens); n > 0 {
		if last := s.tokens[n-1]; last.kind != tokNewline && !goesOn(s.file, last) {
			s.tokens = append(s.tokens, token{tokNewline, false, int32(at), int32(at)})
		}
	}
	s.bol = true
}

// operator is a sign or a pair of signs.
type operator struct {
	text string
	kind kind
}

// operators by their first byte, longest first.
var operators = [128][]operator{
	'&': {{"&&", tokForeignAnd}, {"&", tokAmp}}, '|': {{"||", tokForeignOr}, {"|", tokPipe}},
	'=': {{"==", tokEq}, {"=>", tokYields}, {"=", tokAssign}}, '!': {{"!=", tokNe}, {"!", tokForeignNot}},
	'<': {{"<=", tokLe}, {"<<", tokShl}, {"<", tokLt}}, '>': {{">=", tokGe}, {">>", tokShr}, {">", tokGt}},
	'-': {{"->", tokArrow}, {"-", tokMinus}}, '.': {{"..", tokRange}}, '+': {{"+", tokPlus}}, '*': {{"*", tokStar}},
	'/': {{"/", tokSlash}}, '%': {{"%", tokPercent}}, '^': {{"^", tokCaret}}, ',': {{",", tokComma}}, ':': {{":", tokColon}},
	'(': {{"(", tokLParen}}, ')': {{")", tokRParen}}, '{': {{"{", tokLBrace}}, '}': {{"}", tokRBrace}},
}

func (s *scanner) next() {
	start := s.pos
	c := s.text[start]
	switch {
	case c == ' ' || c == '\t' || c == '\r' && s.at(start+1) == '\n':
		s.pos++
		return
	case c == '\n' || c == '\r':
		s.newline(start)
		s.pos++
		return
	case c == '#':
		end := len(s.text)
		if i := strings.IndexByte(s.text[start:], '\n'); i >= 0 {
			end = start + i
		}
		text := strings.TrimRight(s.text[start:end], " \t\r")
		s.comments = append(s.comments, &ast.Comment{Sp: source.Span{File: s.file, Start: start, End: start + len(text)}, Text: text})
		s.pos = end
		return
	case c == '"':
		s.scanString()
		return
	case c == '\'' || c == '`':
		s.otherQuote(c)
		return
	}
	if n := s.addressLen(); n > 0 {
		s.scanAddress(n)
		return
	}
	switch {
	case isDigit(c):
		s.scanNumber()
		return
	case isLetter(c) || c == '_' || c >= utf8.RuneSelf && s.letterAt(start):
		s.scanWord()
		return
	}
	rest := s.text[start:]
	if c == '.' && (strings.HasPrefix(rest, "./") || strings.HasPrefix(rest, "../")) {
		end := pathEnd(s.text, start)
		s.errs.unquotedPath(start, end, s.text[start:end])
		s.emit(tokBad, start, end)
		return
	}
	for _, o := range operators[c&0x7f] {
		if strings.HasPrefix(rest, o.text) {
			if o.kind >= tokForeignAnd {
				s.errs.foreignOperator(start, start+len(o.text), o.text)
			}
			s.emit(o.kind, start, start+len(o.text))
			return
		}
	}
	s.skipUnknown()
}

// skipUnknown reports a run of the same character that starts no token.
func (s *scanner) skipUnknown() {
	start := s.pos
	r, n := utf8.DecodeRuneInString(s.text[start:])
	end := start + n
	for end < len(s.text) {
		q, m := utf8.DecodeRuneInString(s.text[end:])
		if q != r {
			break
		}
		end += m
	}
	s.pos = end
	if r == utf8.RuneError && n == 1 || r < ' ' || r == 0x7f || invisible(r) {
		return // checkText reported it
	}
	s.errs.unknownChar(start, end, r)
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isHex(c byte) bool    { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func (s *scanner) letterAt(i int) bool {
	r, _ := utf8.DecodeRuneInString(s.text[i:])
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

func (s *scanner) at(i int) byte {
	if i < len(s.text) {
		return s.text[i]
	}
	return 0
}

// wordEnd gives the end of a run of letters, digits, '_' and letters of other scripts.
func (s *scanner) wordEnd(i int) (end int, ascii bool) {
	ascii = true
	for i < len(s.text) {
		c := s.text[i]
		if isLetter(c) || isDigit(c) || c == '_' {
			i++
			continue
		}
		if c < utf8.RuneSelf || !s.letterAt(i) {
			break
		}
		ascii = false
		_, n := utf8.DecodeRuneInString(s.text[i:])
		i += n
	}
	return i, ascii
}

// scanWord reads a name (dotted, with inner hyphens, perhaps ".*") or a constant.
func (s *scanner) scanWord() {
	start := s.pos
	end, ascii := s.wordEnd(start)
	for {
		switch c := s.at(end); {
		case c == '-' && s.wordStart(end+1) && s.at(end+1) != '>':
		case c == '.' && s.wordStart(end+1):
		case c == '.' && s.at(end+1) == '*':
			end += 2
			goto done
		default:
			goto done
		}
		e, a := s.wordEnd(end + 1)
		end, ascii = e, ascii && a
	}
done:
	word := s.text[start:end]
	switch {
	case !ascii:
		s.errs.nonASCIIName(start, end, word)
		s.emit(tokBad, start, end)
	case isConst(word):
		s.emit(tokConst, start, end)
	case isName(word):
		s.emit(tokName, start, end)
	default:
		s.errs.malformedName(start, end, word)
		s.emit(tokBad, start, end)
	}
}

func (s *scanner) wordStart(i int) bool {
	c := s.at(i)
	return isLetter(c) || isDigit(c) || c == '_' || c >= utf8.RuneSelf && s.letterAt(i)
}

func isConst(w string) bool {
	for i := 0; i < len(w); i++ {
		if c := w[i]; !('A' <= c && c <= 'Z' || i > 0 && (isDigit(c) || c == '_')) {
			return false
		}
	}
	return true
}

// isName tells whether each dotted part is [a-z][a-z0-9_-]*, the last perhaps "*".
func isName(w string) bool {
	for first, rest := true, w; ; first = false {
		part, tail, more := strings.Cut(rest, ".")
		if part == "*" && !first && !more {
			return true
		}
		if part == "" || part[0] < 'a' || part[0] > 'z' {
			return false
		}
		for i := 0; i < len(part); i++ {
			if c := part[i]; 'A' <= c && c <= 'Z' {
				return false
			}
		}
		if !more {
			return true
		}
		rest = tail
	}
}

// scanString reads a string; it ends at its line even if it is not closed.
func (s *scanner) scanString() {
	start := s.pos
	i := start + 1
	for i < len(s.text) && s.text[i] != '"' && s.text[i] != '\n' {
		if s.text[i] == '\\' && i+1 < len(s.text) && s.text[i+1] != '\n' {
			i++
		}
		i++
	}
	if i >= len(s.text) || s.text[i] == '\n' {
		end := start + len(strings.TrimRight(s.text[start:i], "\r"))
		s.errs.unterminatedString(start, end)
		s.emit(tokBad, start, end)
		return
	}
	end := i + 1
	if s.checkEscapes(start+1, end-1) {
		s.emit(tokString, start, end)
	} else {
		s.emit(tokBad, start, end)
	}
}

// checkEscapes reports each bad escape between the quotes.
func (s *scanner) checkEscapes(i, end int) bool {
	ok := true
	for i < end {
		if s.text[i] != '\\' {
			i++
			continue
		}
		r, _, rest, err := strconv.UnquoteChar(s.text[i:end], '"')
		switch {
		case err != nil:
			stop := i + 1
			if stop < end {
				_, n := utf8.DecodeRuneInString(s.text[stop:])
				stop += n
			}
			s.errs.badEscape(i, stop, s.text[i:stop])
			ok = false
			i = stop
		case r == 0:
			s.errs.nulInString(i, end-len(rest))
			ok = false
			i = end - len(rest)
		default:
			i = end - len(rest)
		}
	}
	return ok
}

// otherQuote reports a string in quotes that the language does not have.
func (s *scanner) otherQuote(q byte) {
	start := s.pos
	end := start + 1
	for end < len(s.text) && s.text[end] != q && s.text[end] != '\n' {
		end++
	}
	closed := end < len(s.text) && s.text[end] == q
	inner := strings.TrimRight(s.text[start+1:end], "\r")
	if closed {
		end++
	} else {
		end = start + 1 + len(inner)
	}
	s.errs.otherQuote(start, end, inner)
	s.emit(tokBad, start, end)
}

// numberError tells what is wrong with a number, for the reporter.
type numberError uint8

const (
	numberOK numberError = iota
	numberMalformed
	numberTooLarge
	numberOldOctal
	numberUnit
)

func (s *scanner) scanNumber() {
	start := s.pos
	end, _ := s.wordEnd(start)
	word := s.text[start:end]
	k := tokInt
	var problem numberError
	if isDuration(word) {
		k = tokDuration
		_, problem = parseDuration(word)
	} else if _, problem = parseInt(word); problem == numberMalformed && !strings.HasPrefix(word, "0x") && !strings.HasPrefix(word, "0o") {
		if unit := strings.TrimLeft(word, "0123456789_"); unit != "" {
			problem = numberUnit
		}
	}
	if problem != numberOK {
		s.errs.badNumber(start, end, word, k == tokDuration, problem)
		s.emit(tokBad, start, end)
		return
	}
	s.emit(k, start, end)
}

func isDuration(w string) bool {
	last := w[len(w)-1]
	return (last == 's' || last == 'm' || last == 'h') && strings.Trim(w[:len(w)-1], "0123456789_") == ""
}

// digitsOK tells whether underscores stand between digits only.
func digitsOK(d string) bool {
	return d != "" && d[0] != '_' && d[len(d)-1] != '_' && !strings.Contains(d, "__")
}

// parseInt gives the value of an integer literal, suffix applied.
func parseInt(w string) (uint64, numberError) {
	base, digits, unit := 10, w, uint64(1)
	switch {
	case strings.HasPrefix(w, "0x"):
		base, digits = 16, w[2:]
	case strings.HasPrefix(w, "0o"):
		base, digits = 8, w[2:]
	default:
		switch w[len(w)-1] {
		case 'K':
			unit = 1 << 10
		case 'M':
			unit = 1 << 20
		case 'G':
			unit = 1 << 30
		}
		if unit > 1 {
			digits = w[:len(w)-1]
		}
		if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0123456789_") == "" {
			return 0, numberOldOctal
		}
	}
	if !digitsOK(digits) {
		return 0, numberMalformed
	}
	if strings.IndexByte(digits, '_') >= 0 {
		digits = strings.ReplaceAll(digits, "_", "")
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		if e, ok := err.(*strconv.NumError); ok && e.Err == strconv.ErrRange {
			return 0, numberTooLarge
		}
		return 0, numberMalformed
	}
	if n > ^uint64(0)/unit {
		return 0, numberTooLarge
	}
	return n * unit, numberOK
}

// maxDuration keeps a duration in nanoseconds within a signed 64-bit integer.
const maxDuration = 1<<63 - 1

// parseDuration gives a duration literal in nanoseconds.
func parseDuration(w string) (uint64, numberError) {
	unit := uint64(1e9)
	switch w[len(w)-1] {
	case 'm':
		unit *= 60
	case 'h':
		unit *= 3600
	}
	digits := w[:len(w)-1]
	if len(digits) > 1 && digits[0] == '0' {
		return 0, numberMalformed
	}
	n, problem := parseInt(digits)
	if problem == numberOK && n > maxDuration/unit {
		problem = numberTooLarge
	}
	if problem != numberOK {
		return 0, problem
	}
	return n * unit, numberOK
}

func quoteRune(r rune) string { return fmt.Sprintf("U+%04X", r) }
