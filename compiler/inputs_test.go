package compiler_test

import "strings"

// many is a policy of n rules.
func many(n int, rule func(i int) string) string {
	var b strings.Builder
	b.WriteString("policy p\n")
	for i := range n {
		b.WriteString(rule(i) + "\n")
	}
	return b.String()
}
