//go:build !linux

package vmtest

import "os/exec"

// dieWithParent is a feature of Linux; elsewhere a killed test may leave QEMU
// behind until its time limit.
func dieWithParent(*exec.Cmd) {}
