// Package main is a DRA driver for tests. Its one device is a vhost-user
// socket in a directory of the node. A container with a claim on the device
// gets that directory as a mount, and the path of the socket in the device
// metadata file (KEP-5304) under the attribute `vhost-user-path`, the name
// that dra-driver-ovsdpdk uses.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	resource "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/dynamic-resource-allocation/api/metadata/v1alpha1"
	"k8s.io/dynamic-resource-allocation/api/metadata/v1beta1"
	"k8s.io/dynamic-resource-allocation/kubeletplugin"
	"k8s.io/dynamic-resource-allocation/resourceslice"
)

const (
	name   = "vhost.hugeprobe.io"
	device = "vhost"
	cdi    = "/var/run/cdi"
	plugin = kubeletplugin.KubeletPluginsDir + "/" + name
)

type driver struct{ directory, socket, inside string }

// file is the CDI specification of a claim.
func file(claim types.UID) string { return filepath.Join(cdi, name+"-"+string(claim)+".json") }

// prepare makes a CDI device for a claim. Its name is the claim's uid, because
// container runtimes cache devices by name.
func (d driver) prepare(claim *resource.ResourceClaim) kubeletplugin.PrepareResult {
	mount := map[string]any{"hostPath": d.directory, "containerPath": d.inside, "options": []string{"rw", "rbind"}}
	spec, err := json.Marshal(map[string]any{
		"cdiVersion": "0.6.0",
		"kind":       name + "/socket",
		"devices": []any{map[string]any{
			"name":           string(claim.UID),
			"containerEdits": map[string]any{"mounts": []any{mount}},
		}},
	})
	if err == nil {
		err = os.WriteFile(file(claim.UID), spec, 0o644)
	}
	if err != nil {
		return kubeletplugin.PrepareResult{Err: err}
	}
	path := filepath.Join(d.inside, d.socket)
	attributes := map[string]resource.DeviceAttribute{"vhost-user-path": {StringValue: &path}}
	var devices []kubeletplugin.Device
	for _, result := range claim.Status.Allocation.Devices.Results {
		if result.Driver == name {
			devices = append(devices, kubeletplugin.Device{
				Requests:     []string{result.Request},
				PoolName:     result.Pool,
				DeviceName:   result.Device,
				CDIDeviceIDs: []string{name + "/socket=" + string(claim.UID)},
				Metadata:     &kubeletplugin.DeviceMetadata{Attributes: attributes},
			})
		}
	}
	return kubeletplugin.PrepareResult{Devices: devices}
}

func (d driver) PrepareResourceClaims(_ context.Context, claims []*resource.ResourceClaim) (map[types.UID]kubeletplugin.PrepareResult, error) {
	results := map[types.UID]kubeletplugin.PrepareResult{}
	for _, claim := range claims {
		results[claim.UID] = d.prepare(claim)
		fmt.Printf("prepared %s/%s: %v\n", claim.Namespace, claim.Name, results[claim.UID].Err)
	}
	return results, nil
}

func (d driver) UnprepareResourceClaims(_ context.Context, claims []kubeletplugin.NamespacedObject) (map[types.UID]error, error) {
	results := map[types.UID]error{}
	for _, claim := range claims {
		err := os.Remove(file(claim.UID))
		if os.IsNotExist(err) {
			err = nil
		}
		results[claim.UID] = err
	}
	return results, nil
}

func (d driver) HandleError(_ context.Context, err error, message string) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", message, err)
}

func (d driver) WatchHealthStatus(context.Context, chan<- kubeletplugin.DeviceHealthReport) error {
	return kubeletplugin.ErrHealthNotSupported
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "credentials for ResourceSlices and ResourceClaims")
	node := flag.String("node", "", "the name of the Node")
	var d driver
	flag.StringVar(&d.directory, "directory", "", "the directory of the socket on the node")
	flag.StringVar(&d.socket, "socket", "s", "the name of the socket")
	flag.StringVar(&d.inside, "inside", "/run/vhost-user", "where a container gets the directory")
	flag.Parse()
	if err := run(d, *kubeconfig, *node); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(d driver, kubeconfig, node string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, directory := range []string{cdi, plugin, d.directory} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	versions := []schema.GroupVersion{v1beta1.SchemeGroupVersion, v1alpha1.SchemeGroupVersion}
	helper, err := kubeletplugin.Start(ctx, d,
		kubeletplugin.DriverName(name),
		kubeletplugin.NodeName(node),
		kubeletplugin.KubeClient(client),
		kubeletplugin.HealthService(false),
		kubeletplugin.EnableDeviceMetadata(true, versions),
	)
	if err != nil {
		return err
	}
	defer helper.Stop()
	// Several pods may have the device at the same time, as they may have ports of one bridge.
	shared := true
	slice := resourceslice.Slice{Devices: []resource.Device{{Name: device, AllowMultipleAllocations: &shared}}}
	pools := map[string]resourceslice.Pool{node: {Slices: []resourceslice.Slice{slice}}}
	if err := helper.PublishResources(ctx, resourceslice.DriverResources{Pools: pools}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
