package diag

// Suggest gives the candidate that a misspelt name most likely stands for, or ""
// if none is near: at most one edit (insertion, deletion, substitution or swap of
// neighbours) in names up to 4 bytes, two up to 8, three above. Of equally near
// candidates the first wins, so the order of candidates must be fixed.
func Suggest(name string, candidates []string) string {
	const longest = 64
	if name == "" || len(name) > longest {
		return ""
	}
	limit := 3
	switch {
	case len(name) <= 2:
		return ""
	case len(name) <= 4:
		limit = 1
	case len(name) <= 8:
		limit = 2
	}
	best := ""
	for _, c := range candidates {
		if len(c) > longest || c == name {
			continue
		}
		if d := editDistance(name, c, limit); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// editDistance is the distance of a and b counting swaps of neighbours as one
// edit, or some number above limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	var before, last, row [65]int // rows i-2, i-1, i
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			d := last[j-1]
			if a[i-1] != b[j-1] {
				d++
			}
			d = min(d, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		if least > limit {
			return limit + 1
		}
		before, last = last, row
	}
	return last[len(b)]
}
