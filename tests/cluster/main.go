// Package main is Kubernetes in one binary: etcd, the control plane, the
// kubelet and kubectl, each a subcommand with the flags of its own program.
//
// One binary links the common code once, so that a cold build takes minutes
// instead of half an hour, and go.mod pins what the cluster runs.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// A command is made when it is asked for: each constructor registers flags and
// feature gates that the others would trip over.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": manager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 kubeletCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...)
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	command, known := commands[name]
	if !known {
		usage()
	}
	os.Exit(cli.Run(command()))
}

// The constructor of the kubelet takes no context in Kubernetes 1.30.
func kubeletCommand() *cobra.Command {
	switch constructor := any(kubelet.NewKubeletCommand).(type) {
	case func() *cobra.Command:
		return constructor()
	case func(context.Context) *cobra.Command:
		return constructor(context.Background())
	default:
		panic(fmt.Sprintf("the kubelet's constructor is a %T", constructor))
	}
}

func usage() {
	names := []string{"etcd"}
	for name := range commands {
		names = append(names, name)
	}
	fmt.Fprintf(os.Stderr, "usage: kubernetes %s ...\n", strings.Join(names, "|"))
	os.Exit(2)
}
