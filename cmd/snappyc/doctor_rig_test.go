//go:build rig

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/snappy-policy/snappy/internal/vmtest"
)

// TestMachineDoctor: on kernels that were booted without the BPF LSM, doctor says
// how to boot them with it, and run refuses.
func TestMachineDoctor(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "snappyc")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, kernel := range vmtest.Kernels() {
		t.Run(kernel, func(t *testing.T) {
			cfg := vmtest.Config{Kernel: kernel, LSM: "lockdown,capability,yama", Log: &bytes.Buffer{}, Files: []vmtest.File{
				{Host: bin, Guest: "/bin/snappyc"},
				{Guest: "/root/a.snp", Data: []byte("policy a\n\ndefault allow\ndefault deny for file.mkdir\n")}}}
			var doctor, quiet, run bytes.Buffer
			res, err := vmtest.Run(t.Context(), cfg, []vmtest.Payload{
				{Argv: []string{"/bin/snappyc", "doctor"}, Stdout: &doctor, Stderr: &doctor},
				{Argv: []string{"/bin/snappyc", "doctor", "--quiet"}, Stdout: &quiet, Stderr: &quiet},
				{Argv: []string{"/bin/snappyc", "run", "--policy", "a.snp", "--", "/bin/snappyc", "version"}, Stdout: &run, Stderr: &run},
			})
			require.NoError(t, err)
			require.Equal(t, 1, res.Exits[0].Code, "%s", &doctor)
			// Some kernels add modules of their own to the list.
			found := regexp.MustCompile(`(?m)^missing  lsm\.enabled +the BPF security module is built in but not active \(active: (lockdown,capability,yama\S*)\)$`).FindStringSubmatch(doctor.String())
			require.NotNil(t, found, "%s", &doctor)
			advice := found[1] + ",bpf"
			require.Contains(t, doctor.String(), "add to the kernel command line and reboot: lsm="+advice+"\n")
			require.Contains(t, doctor.String(), "missing  lsm.runs                     an attached LSM program is not run\n")
			require.Contains(t, doctor.String(), "This kernel cannot enforce policies")
			require.Equal(t, 1, res.Exits[1].Code)
			require.Empty(t, quiet.String())
			require.Equal(t, 125, res.Exits[2].Code, "%s", &run)
			require.NotContains(t, run.String(), "object format", "the command must not run unconfined")
			require.Contains(t, run.String(), "the BPF security module is not active")

			cfg.LSM = advice
			doctor.Reset()
			res, err = vmtest.Run(t.Context(), cfg, []vmtest.Payload{{Argv: []string{"/bin/snappyc", "doctor"}, Stdout: &doctor, Stderr: &doctor}})
			require.NoError(t, err)
			require.Equal(t, 0, res.Exits[0].Code, "what doctor says must help: %s", &doctor)
		})
	}
}
