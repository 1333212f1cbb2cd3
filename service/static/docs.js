// Swagger UI for /docs. Calls go to where this page came from: a proxy may serve it under a path of its own.
"use strict";

(async () => {
  const response = await fetch("openapi.json");
  const description = await response.json();
  description.servers = [{ url: new URL(".", document.baseURI).href.replace(/\/$/, "") }];
  SwaggerUIBundle({
    spec: description,
    dom_id: "#swagger-ui",
    deepLinking: true,
    layout: "BaseLayout",
    presets: [SwaggerUIBundle.presets.apis],
    showExtensions: true,
    showCommonExtensions: true,
  });
})();
