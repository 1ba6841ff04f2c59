package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/snappy-policy/snappy/kernel/abi"
	"github.com/snappy-policy/snappy/runtime/audit"
	"github.com/snappy-policy/snappy/runtime/namespace"
)

func newEvents() *cobra.Command {
	var follow bool
	var format string
	var space uint64
	c := &cobra.Command{
		Use: "events", Short: "Show what the kernel reported (root)", Args: noArgs,
		Long: `events prints the denials and audits that the kernel has reported since boot, as
far as the journal in ` + namespace.DefaultStateDir + ` reaches (16 to 32 MiB); with -f it goes on with
those to come. Each JSON line is one event.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			each := func(e *audit.Event) error {
				if space != 0 && e.Namespace != space {
					return nil
				}
				if format == "json" {
					return json.NewEncoder(c.OutOrStdout()).Encode(e)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s namespace %d: %s\n", e.Time.Format("2006-01-02T15:04:05.000Z07:00"), e.Namespace, e)
				return err
			}
			return events(follow, each)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events to come")
	c.Flags().StringVar(&format, "format", "text", "text or json")
	c.Flags().Uint64Var(&space, "namespace", 0, "only the events of this namespace")
	return c
}

func events(follow bool, each func(*audit.Event) error) error {
	if _, err := os.Stat(namespace.DefaultStateDir); errors.Is(err, fs.ErrNotExist) {
		if !follow {
			return nil // nothing has ever run
		}
		if err := os.MkdirAll(namespace.DefaultStateDir, 0o700); err != nil {
			return err
		}
	}
	journal := audit.OpenJournal(namespace.DefaultStateDir)
	tail, err := journal.Tail(false)
	if err != nil {
		return err
	}
	defer tail.Close()
	if !follow {
		for {
			e, err := tail.Next()
			if err != nil || e == nil {
				return err
			}
			if err := each(e); err != nil {
				return err
			}
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer cancel()
	// Without a core there is nothing to consume; whoever makes one consumes too.
	if manager, err := namespace.Attach(namespace.Options{}); err == nil {
		ring, err := manager.Map(abi.MapEvents)
		if err != nil {
			return err
		}
		defer ring.Close()
		archive, err := audit.OpenArchive(namespace.DefaultStateDir)
		if err != nil {
			return err
		}
		pump, err := audit.StartPump(ring, journal, archive.Meta)
		if err != nil {
			return err
		}
		defer pump.Stop()
	}
	return tail.Follow(ctx, each)
}
