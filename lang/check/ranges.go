package check

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
)

// normalRanges sorts ranges and joins those that overlap or touch. The slice is reused.
func normalRanges(rs []Range) []Range {
	slices.SortFunc(rs, func(a, b Range) int { return cmp.Or(cmp.Compare(a.Lo, b.Lo), cmp.Compare(a.Hi, b.Hi)) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && (out[n-1].Hi == math.MaxInt64 || r.Lo <= out[n-1].Hi+1) {
			out[n-1].Hi = max(out[n-1].Hi, r.Hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// complement gives the ranges of everything else; the input is normal.
func complement(rs []Range) []Range {
	var out []Range
	next := int64(math.MinInt64)
	for _, r := range rs {
		if r.Lo > next {
			out = append(out, Range{next, r.Lo - 1})
		}
		if r.Hi == math.MaxInt64 {
			return out
		}
		next = r.Hi + 1
	}
	return append(out, Range{next, math.MaxInt64})
}

// coverage tells how ranges relate to what a value can be: none of it, all, or neither.
func coverage(rs []Range, low, high int64) (none, all bool) {
	none = true
	for _, r := range rs {
		if r.Lo <= high && r.Hi >= low {
			none = false
		}
		if r.Lo <= low && r.Hi >= high {
			all = true
		}
	}
	return none, all
}

// normalPrefixes sorts prefixes and drops those inside another. The slice is reused.
func normalPrefixes(ps []netip.Prefix) []netip.Prefix {
	slices.SortFunc(ps, comparePrefixes)
	out := ps[:0]
	for _, p := range ps {
		if n := len(out); n > 0 && out[n-1].Bits() <= p.Bits() && out[n-1].Contains(p.Addr()) {
			continue
		}
		out = append(out, p)
	}
	return out
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
