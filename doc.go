// Package snappy is the root of SNAPPY, a Safe Namespaceable And Programmable
// PolicY engine: readable rules compiled straight to eBPF and enforced by the
// Linux kernel in policy namespaces. See README.md and ARCHITECTURE.md.
package snappy
