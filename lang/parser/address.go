package parser

import (
	"net/netip"
	"strings"
)

// addressLen gives the length of an address or CIDR that starts here, valid or
// not; 0 if what stands here is something else. An IPv4 address is digits with
// a single dot in it (two dots are a range); an IPv6 address is a run of hex
// digits and colons with at least two colons, which nothing else has.
func (s *scanner) addressLen() int {
	t := s.text[s.pos:]
	if c := t[0]; !isHex(c) && c != ':' {
		return 0
	}
	colons, dots, digitsOnly, i := 0, 0, true, 0
	for i < len(t) {
		c := t[i]
		switch {
		case isDigit(c):
		case isHex(c):
			digitsOnly = false
		case c == ':':
			colons++
		case c == '.' && i > 0 && i+1 < len(t) && isDigit(t[i+1]) && (colons >= 2 || digitsOnly):
			dots++
		default:
			goto done
		}
		i++
	}
done:
	if colons < 2 && (dots == 0 || !isDigit(t[0])) {
		return 0
	}
	// A letter behind belongs to it, so that 10.0.0.x is one bad address.
	end, _ := s.wordEnd(s.pos + i)
	i = end - s.pos
	if i < len(t) && t[i] == '%' && colons >= 2 { // a zone, refused later
		end, _ = s.wordEnd(s.pos + i + 1)
		i = end - s.pos
	}
	if i+1 < len(t) && t[i] == '/' && (isDigit(t[i+1]) || isLetter(t[i+1])) {
		end, _ = s.wordEnd(s.pos + i + 1)
		i = end - s.pos
	}
	return i
}

func (s *scanner) scanAddress(n int) {
	start, end := s.pos, s.pos+n
	text := s.text[start:end]
	ok := false
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			s.errs.badPrefix(start, end, text)
		case p != p.Masked():
			s.errs.hostBits(start, end, text, p.Masked().String())
		default:
			ok = true
		}
	} else {
		a, err := netip.ParseAddr(text)
		ok = err == nil && a.Zone() == ""
		if !ok {
			s.errs.badAddress(start, end, text)
		}
	}
	if ok {
		s.emit(tokAddr, start, end)
	} else {
		s.emit(tokBad, start, end)
	}
}
