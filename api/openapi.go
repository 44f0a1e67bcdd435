package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kith"
	"kith/app"
)

// A call is one operation as it is served.
type call struct {
	app      string
	op       app.Op
	path     string // /api/<app>/<op>
	registry huma.Registry
	in       *huma.Schema
	defaults []byte // JSON object of the values that are left out
}

const schemaPrefix = "#/components/schemas/"

func init() {
	huma.DefaultArrayNullable = false // encode sends [] for an empty list
	huma.ValidateStrictCasing = true  // a member of another case is an unknown one
}

// OpenAPI returns the OpenAPI 3.1 document of the applications' operations, from which types of other languages are made. The same
// operations and version give the same bytes.
func OpenAPI(apps []app.App, version string) ([]byte, error) {
	_, doc, err := describe(apps, version)
	return doc, err
}

// describe makes of every operation a call, and the OpenAPI document of them all.
func describe(apps []app.App, version string) ([]*call, []byte, error) {
	reg := huma.NewMapRegistry(schemaPrefix, namer())
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Kith", Version: version,
			Description: "The local interface of a node. Every operation needs the token in the file token of the data directory, " +
				"as Authorization: Bearer. A stream answers with server-sent events: each value is a message, an error is the event " +
				"error, and the event end closes it.",
		},
		Components: &huma.Components{
			Schemas:         reg,
			SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}},
		},
		Security: []map[string][]string{{"token": {}}},
	}
	problem := reg.Schema(reflect.TypeFor[Problem](), true, "")
	var calls []*call
	seen := map[string]bool{}
	for _, a := range apps {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: a.Name, Description: a.Help})
		for _, op := range a.Ops {
			c, err := newCall(a.Name, op, reg)
			if err != nil {
				return nil, nil, err
			}
			if seen[c.path] {
				return nil, nil, fmt.Errorf("api: two operations at %s: %w", c.path, kith.Exists)
			}
			seen[c.path] = true
			calls = append(calls, c)
			doc.AddOperation(c.operation(problem))
		}
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("api: OpenAPI: %w", err)
	}
	return calls, append(data, '\n'), nil
}

// namer names schemas by their type; of two types of one name the second gets its package's name too.
func namer() func(reflect.Type, string) string {
	taken := map[string]reflect.Type{}
	return func(t reflect.Type, hint string) string {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		name := huma.DefaultSchemaNamer(t, hint)
		if other, ok := taken[name]; ok && other != t && t.PkgPath() != "" {
			pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
			name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
		}
		if _, ok := taken[name]; !ok {
			taken[name] = t
		}
		return name
	}
}

func newCall(appName string, op app.Op, reg huma.Registry) (*call, error) {
	c := &call{app: appName, op: op, path: "/api/" + appName + "/" + op.Path(), registry: reg}
	if op.In == nil || op.In.Kind() != reflect.Struct || op.Out == nil {
		return nil, fmt.Errorf("api: operation %s %s: its input is no struct, or it has no output: %w", appName, op.Name, kith.Invalid)
	}
	c.in = reg.Schema(op.In, false, op.In.Name())
	markFields(c.in, app.Fields(op.In))
	defaults := map[string]any{}
	for name, s := range c.in.Properties {
		if s.Default != nil {
			defaults[name] = s.Default
		}
	}
	var err error
	c.defaults, err = json.Marshal(defaults)
	return c, err
}

// markFields adds to an input's schema what a form must know: that a member is a path of this computer, or a secret.
func markFields(in *huma.Schema, fields []app.Field) {
	for _, f := range fields {
		s := in.Properties[f.Name]
		if s == nil || s.Ref != "" {
			continue
		}
		if f.Path {
			s.Extensions = map[string]any{"x-path": true}
		}
		if f.Secret {
			s.Extensions = map[string]any{"x-secret": true}
		}
	}
}

// operation returns the call's entry in the OpenAPI document.
func (c *call) operation(problem *huma.Schema) *huma.Operation {
	o := &huma.Operation{
		OperationID: c.app + "-" + c.op.Path(), Method: http.MethodPost, Path: c.path, Tags: []string{c.app},
		Summary: c.op.Help, Description: c.op.Long,
		Responses: map[string]*huma.Response{
			"200":     {Description: "OK", Content: map[string]*huma.MediaType{}},
			"default": {Description: "Error", Content: map[string]*huma.MediaType{problemType: {Schema: problem}}},
		},
	}
	kind := "application/json"
	if c.op.Stream {
		kind = "text/event-stream"
		o.Responses["200"].Description = "server-sent events; the data of each is one value, the last of which is the result"
	}
	o.Responses["200"].Content[kind] = &huma.MediaType{Schema: c.registry.Schema(c.op.Out, true, c.op.Path()+"Out")}
	if !c.op.Query {
		o.RequestBody = &huma.RequestBody{
			Required: len(c.in.Required) > 0,
			Content:  map[string]*huma.MediaType{"application/json": {Schema: c.registry.Schema(c.op.In, true, c.op.In.Name())}},
		}
		return o
	}
	o.Method = http.MethodGet
	required := map[string]bool{}
	for _, name := range c.in.Required {
		required[name] = true
	}
	for _, f := range app.Fields(c.op.In) {
		s := c.in.Properties[f.Name]
		o.Parameters = append(o.Parameters, &huma.Param{Name: f.Name, In: "query", Description: s.Description, Required: required[f.Name], Schema: s})
	}
	return o
}
