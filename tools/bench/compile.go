package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// compileTable compiles in a process of its own each, so that peaks are apart.
func compileTable() error {
	fmt.Println("| path rules | seconds | peak MiB | object bytes |\n|---|---|---|---|")
	for _, n := range []int{10, 1000, 10000} {
		cmd := exec.Command("/proc/self/exe", "compile-one", strconv.Itoa(n))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
		fmt.Printf("| %d | %s | %d | %s |\n", n, strings.Fields(string(out))[0], peak, strings.Fields(string(out))[1])
	}
	return nil
}

func compileOne() error {
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	text := denyList(n)
	start := time.Now()
	r, err := compile(text)
	if err != nil {
		return err
	}
	fmt.Printf("%.3f %d\n", time.Since(start).Seconds(), len(r.Object))
	return nil
}
