//go:build ignore

// Command snippet shows how to point the client at a server.
package main

import (
	"os"

	"github.com/chnsz/golangsdk"
	"github.com/chnsz/golangsdk/openstack"
)

func connect() (*golangsdk.ServiceClient, error) {
	// [snippet]
	provider, err := openstack.NewClient("http://127.0.0.1:20004/v3")
	if err != nil {
		return nil, err
	}
	err = openstack.Authenticate(provider, golangsdk.AKSKAuthOptions{
		IdentityEndpoint: "http://127.0.0.1:20004/v3",
		Region:           "region-1",
		ProjectName:      "region-1",
		AccessKey:        os.Getenv("DIS_AK"),
		SecretKey:        os.Getenv("DIS_SK"),
	})
	if err != nil {
		return nil, err
	}
	client := &golangsdk.ServiceClient{
		ProviderClient: provider,
		Endpoint:       "http://127.0.0.1:20004/v2/" + provider.ProjectID + "/",
	}
	// [end]
	return client, nil
}
