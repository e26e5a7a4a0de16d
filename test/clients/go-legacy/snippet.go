//go:build ignore

// Command snippet shows how to point the client at a server.
package main

import (
	"os"

	"com/client"
	"com/models"
)

func connect() *client.Client {
	// [snippet]
	conf := models.DefaultDISClientConf()
	conf.AK, conf.SK, conf.ProjectId = os.Getenv("DIS_AK"), os.Getenv("DIS_SK"), os.Getenv("DIS_PROJECT")
	conf.Region, conf.Endpoint = "region-1", "http://127.0.0.1:20004" // without a slash at the end
	client.SetCaCertificate(true, "disd-data/tls/ca.pem")             // with TLS
	dis := client.FactoryEx(conf)
	// [end]
	return dis
}
