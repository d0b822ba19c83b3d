// The server of the tutorial, as its readers type it in: login, logout with a blacklist, and routes
// behind verifyJWT. express_test.go compares clientes with it. It prints its port.
const express = require("express");
const bodyParser = require("body-parser");
const jwt = require("jsonwebtoken");

const app = express();
const blacklist = [];
const clientes = [{ id: 1, name: "Ana" }];

app.use(bodyParser.urlencoded({ extended: false }));
app.use(bodyParser.json());

function verifyJWT(req, res, next) {
  const token = req.headers["x-access-token"];
  if (!token) return res.status(401).json({ auth: false, message: "No token provided." });
  if (blacklist.includes(token)) return res.status(401).end();

  jwt.verify(token, process.env.SECRET, (err, decoded) => {
    if (err) return res.status(500).json({ auth: false, message: "Failed to authenticate token." });
    req.userId = decoded.id;
    next();
  });
}

app.get("/", (req, res) => {
  res.json({ message: "Everything is okay!" });
});

app.get("/clientes", verifyJWT, (req, res) => {
  res.json(clientes);
});

app.get("/clientes/:id", verifyJWT, (req, res) => {
  const found = clientes.find((c) => String(c.id) === req.params.id);
  if (!found) return res.status(404).json({ message: "Not found" });
  res.json(found);
});

app.post("/login", (req, res) => {
  if (req.body.user === process.env.USER1 && req.body.password === process.env.PASSWORD) {
    const id = 1;
    const token = jwt.sign({ id }, process.env.SECRET, { expiresIn: 300 });
    return res.json({ auth: true, token });
  }
  res.status(500).json({ message: "Invalid Login!" });
});

app.post("/logout", (req, res) => {
  blacklist.push(req.headers["x-access-token"]);
  res.json({ auth: false, token: null });
});

const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
